# DNNL::dnnl without find_package(dnnl): Debian's configuration insists on OpenCL headers that a CPU build never uses.
# Read by the build and, installed, by find_package(bonafide).
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.hpp)
find_library(DNNL_LIBRARY dnnl)
mark_as_advanced(DNNL_INCLUDE_DIR DNNL_LIBRARY)
if(DNNL_LIBRARY AND DNNL_INCLUDE_DIR AND NOT TARGET DNNL::dnnl)
  add_library(DNNL::dnnl UNKNOWN IMPORTED)
  set_target_properties(DNNL::dnnl PROPERTIES
    IMPORTED_LOCATION "${DNNL_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${DNNL_INCLUDE_DIR}"
    INTERFACE_COMPILE_DEFINITIONS BF_WITH_ONEDNN)
endif()
