# CUDA:: targets. Read by the build and, installed, by find_package(bonafide).
#
# Where a project requires CMake 3.25, that version marks CUDA::nvToolsExt as deprecated without asking whether there is one; in
# CUDA 13 there is none.
set(bonafide_cmake_required ${CMAKE_MINIMUM_REQUIRED_VERSION})
set(CMAKE_MINIMUM_REQUIRED_VERSION 3.24)
find_package(CUDAToolkit QUIET)
set(CMAKE_MINIMUM_REQUIRED_VERSION ${bonafide_cmake_required})
