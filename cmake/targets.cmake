# The targets. Arrows point one way: apps -> data -> layers -> {engine, kernels}; tests/host/test_include_arrows.cpp
# reads the #include lines and enforces it.

macro(bonafide_glob out)
  file(GLOB_RECURSE ${out} CONFIGURE_DEPENDS ${ARGN})
endmacro()

function(bonafide_libraries)
  bonafide_glob(sources engine/*.cpp kernels/*.cpp layers/*.cpp data/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/data/(images|faces)/")
  add_library(bonafide STATIC ${sources})
  target_link_libraries(bonafide PUBLIC bonafide_flags OpenMP::OpenMP_CXX Threads::Threads
    PRIVATE nlohmann_json::nlohmann_json DNNL::dnnl hwy::hwy ZLIB::ZLIB)
  target_include_directories(bonafide SYSTEM PRIVATE ${XXHASH_INCLUDE_DIR})
  add_library(bonafide::bonafide ALIAS bonafide)
  if(BONAFIDE_OPENCV)
    bonafide_glob(image_sources data/images/*.cpp)
    add_library(bonafide_images STATIC ${image_sources})
    target_link_libraries(bonafide_images PUBLIC bonafide
      PRIVATE opencv_core opencv_imgproc opencv_imgcodecs opencv_photo libjpeg-turbo::turbojpeg nlohmann_json::nlohmann_json)
    add_library(bonafide::images ALIAS bonafide_images)
  endif()
endfunction()

# The program `bonafide`; bonafide-train and bonafide-eval are other names of the same file.
function(bonafide_program)
  if(NOT BONAFIDE_OPENCV)
    return()  # every command of today reads image files
  endif()
  bonafide_glob(sources apps/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/apps/main.cpp$")
  add_library(bonafide_apps STATIC ${sources})
  target_link_libraries(bonafide_apps PUBLIC bonafide_images PRIVATE CLI11::CLI11 nlohmann_json::nlohmann_json)
  add_executable(bonafide_cli apps/main.cpp)
  target_link_libraries(bonafide_cli PRIVATE bonafide_apps)
  set_target_properties(bonafide_cli PROPERTIES OUTPUT_NAME bonafide RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  foreach(name bonafide-train bonafide-eval)
    add_custom_command(TARGET bonafide_cli POST_BUILD
      COMMAND ${CMAKE_COMMAND} -E create_symlink bonafide ${CMAKE_BINARY_DIR}/bin/${name})
  endforeach()
endfunction()

# One program per tier, one file per operation: tests/<tier>/test_*.cpp -> build/tests/test_<tier>.
# tests/images is the part of the host tier that needs OpenCV.
function(bonafide_tests)
  add_library(test_support STATIC tests/support/main.cpp tests/support/gradcheck.cpp)
  target_link_libraries(test_support PUBLIC bonafide doctest::doctest)
  target_compile_definitions(test_support PUBLIC BF_SOURCE_DIR="${CMAKE_SOURCE_DIR}" BF_BINARY_DIR="${CMAKE_BINARY_DIR}")
  foreach(tier host images e2e slow interop)
    bonafide_glob(sources tests/${tier}/*.cpp)
    if(NOT sources OR (NOT BONAFIDE_OPENCV AND NOT tier STREQUAL "host"))
      continue()
    endif()
    add_executable(test_${tier} ${sources})
    target_link_libraries(test_${tier} PRIVATE test_support nlohmann_json::nlohmann_json DNNL::dnnl)
    if(NOT tier STREQUAL "host")
      target_link_libraries(test_${tier} PRIVATE bonafide_apps opencv_core opencv_imgproc opencv_imgcodecs)
    endif()
    set_target_properties(test_${tier} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME ${tier} COMMAND test_${tier})
    set_tests_properties(${tier} PROPERTIES ENVIRONMENT OMP_NUM_THREADS=1)
  endforeach()
endfunction()

function(bonafide_benchmarks)
  bonafide_glob(sources bench/bench_*.cpp)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE bonafide benchmark::benchmark_main)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
  endforeach()
endfunction()
