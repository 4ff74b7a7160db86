# Compiler settings shared by every target.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(BONAFIDE_CCACHE ccache)
if(BONAFIDE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${BONAFIDE_CCACHE})
endif()

add_library(bonafide_flags INTERFACE)
target_include_directories(bonafide_flags INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
target_compile_definitions(bonafide_flags INTERFACE BF_CHECKED=$<BOOL:${BONAFIDE_CHECKED}>)
function(bonafide_cxx_options)
  target_compile_options(bonafide_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${ARGN}>")
endfunction()
bonafide_cxx_options(-Wall -Wextra -Wshadow -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  bonafide_cxx_options(-Wno-restrict)  # GCC 12 sees overlap in std::string concatenation where there is none (PR 105651)
endif()
bonafide_cxx_options(-fno-math-errno -fno-trapping-math)  # nobody reads errno or the FP flags; values do not change
bonafide_cxx_options(-ffp-contract=fast)                  # ISO mode turns FMA off; the kernels want it
bonafide_cxx_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)  # error messages name files as the repository does
if(BONAFIDE_WERROR)
  bonafide_cxx_options(-Werror)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND BONAFIDE_MARCH)
  bonafide_cxx_options(-march=${BONAFIDE_MARCH})
endif()
# nvcc: no -Wpedantic (it warns about every line directive); unused parameters are the templates'.
target_compile_options(bonafide_flags INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:--compiler-options=-Wall,-Wextra,-Wno-missing-field-initializers,-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=>")
