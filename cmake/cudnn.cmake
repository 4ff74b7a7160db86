# CUDNN::cudnn, which CMake does not know. libcudnn itself is small and needs no driver: it loads the rest when it is used.
# Read by the build and, installed, by find_package(bonafide).
find_path(CUDNN_INCLUDE_DIR cudnn_version.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(CUDNN_LIBRARY cudnn HINTS ${CUDAToolkit_LIBRARY_DIR})
mark_as_advanced(CUDNN_INCLUDE_DIR CUDNN_LIBRARY)
if(CUDNN_LIBRARY AND CUDNN_INCLUDE_DIR AND NOT TARGET CUDNN::cudnn)
  file(STRINGS ${CUDNN_INCLUDE_DIR}/cudnn_version.h cudnn_major REGEX "#define CUDNN_MAJOR +[0-9]+")
  if(cudnn_major MATCHES " (9|[1-9][0-9]+)$")
    add_library(CUDNN::cudnn UNKNOWN IMPORTED)
    set_target_properties(CUDNN::cudnn PROPERTIES
      IMPORTED_LOCATION "${CUDNN_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${CUDNN_INCLUDE_DIR}")
  endif()
endif()
