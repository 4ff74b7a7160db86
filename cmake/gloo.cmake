# Gloo::gloo; Gloo brings no CMake package that says what it needs. Read by the build and, installed, by find_package(bonafide).
find_path(GLOO_INCLUDE_DIR gloo/allreduce.h)
find_library(GLOO_LIBRARY gloo)
mark_as_advanced(GLOO_INCLUDE_DIR GLOO_LIBRARY)
if(GLOO_LIBRARY AND GLOO_INCLUDE_DIR AND NOT TARGET Gloo::gloo)
  add_library(Gloo::gloo UNKNOWN IMPORTED)
  set_target_properties(Gloo::gloo PROPERTIES IMPORTED_LOCATION "${GLOO_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${GLOO_INCLUDE_DIR}")
endif()
