# CUDA: whether there is a compiler for it, and how kernels/<op>/cuda.cu is compiled: by nvcc; or, in a build without
# CUDA, by the C++ compiler, as functions that say so (kernels/simt/launch.h).
find_program(BONAFIDE_NVCC nvcc PATHS /usr/local/cuda/bin)
if(BONAFIDE_CUDA STREQUAL "AUTO")
  set(BONAFIDE_WITH_CUDA $CACHE{BONAFIDE_NVCC})
else()
  set(BONAFIDE_WITH_CUDA ${BONAFIDE_CUDA})
endif()
if(BONAFIDE_WITH_CUDA)
  set(BONAFIDE_WITH_CUDA ON)
  if(NOT BONAFIDE_NVCC AND NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "BONAFIDE_CUDA=ON, but there is no nvcc on PATH or in /usr/local/cuda/bin")
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${BONAFIDE_NVCC})
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 90a)  # else CMake 3.25 picks 75
  endif()
  if(NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${BONAFIDE_CCACHE})
    if(NOT BONAFIDE_CHECKED)
      list(PREPEND CMAKE_CUDA_COMPILER_LAUNCHER ${PROJECT_SOURCE_DIR}/cmake/ptxas.sh)  # spills are errors
    endif()
  endif()
  enable_language(CUDA)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # else a second, static runtime is linked beside CUDA::cudart
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc speaks C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  set(CMAKE_CUDA_FLAGS "${CMAKE_CUDA_FLAGS} --expt-relaxed-constexpr --ptxas-options=-v")
  find_package(CUDAToolkit REQUIRED)
else()
  set(BONAFIDE_WITH_CUDA OFF)
endif()

# cuDNN 9: convolutions.
set(BONAFIDE_WITH_CUDNN OFF)
if(BONAFIDE_WITH_CUDA AND BONAFIDE_CUDNN)  # ON, AUTO
  include(cmake/cudnn.cmake)
  if(TARGET CUDNN::cudnn)
    set(BONAFIDE_WITH_CUDNN ON)
    set(BONAFIDE_CUDNN_TARGET CUDNN::cudnn)
  elseif(NOT BONAFIDE_CUDNN STREQUAL "AUTO")
    message(FATAL_ERROR "BONAFIDE_CUDNN=ON, but cuDNN 9 was not found beside CUDA (cudnn.h, libcudnn)")
  endif()
endif()

# What calls CUDA's libraries has an implementation without them, no_<name>.cpp: takes the one that is not part of this build
# out of the list `sources`.
macro(bonafide_choose_cuda_calls sources)
  if(BONAFIDE_WITH_CUDA)
    list(FILTER ${sources} EXCLUDE REGEX "/no_(cuda_runtime|cublaslt_gemm)[.]cpp$")
    list(JOIN CMAKE_CUDA_ARCHITECTURES "," architectures)
    set_source_files_properties(engine/cuda_runtime.cpp PROPERTIES COMPILE_DEFINITIONS "BF_CUDA_ARCHITECTURES=\"${architectures}\"")
  else()
    list(FILTER ${sources} EXCLUDE REGEX "/(cuda_runtime|cublaslt_gemm)[.]cpp$")
  endif()
  if(BONAFIDE_WITH_CUDNN)
    list(FILTER ${sources} EXCLUDE REGEX "/no_cudnn_conv[.]cpp$")
  else()
    list(FILTER ${sources} EXCLUDE REGEX "/cudnn_conv[.]cpp$")
  endif()
endmacro()

# To be called with the .cu files of a target, in the directory that defines it.
function(bonafide_cuda_sources)
  if(NOT BONAFIDE_WITH_CUDA)
    set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
  endif()
endfunction()
