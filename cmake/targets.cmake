# The targets. Arrows point one way: apps -> data -> layers -> {engine, kernels}; tests/host/test_include_arrows.cpp
# reads the #include lines and enforces it.

macro(bonafide_glob out)
  file(GLOB_RECURSE ${out} CONFIGURE_DEPENDS ${ARGN})
endmacro()

if(BONAFIDE_ONEDNN)
  set(BONAFIDE_ONEDNN_TARGET DNNL::dnnl)
endif()

function(bonafide_libraries)
  bonafide_glob(sources engine/*.cpp kernels/*.cpp layers/*.cpp data/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/data/(images|faces)/|/kernels/emulator/")
  if(BONAFIDE_ONEDNN)
    list(FILTER sources EXCLUDE REGEX "/plain_(gemm|conv)[.]cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "/onednn_(gemm|conv)[.]cpp$")
  endif()
  bonafide_choose_cuda_calls(sources)
  bonafide_glob(cuda_sources kernels/*.cu)
  bonafide_cuda_sources(${cuda_sources})
  add_library(cuda_kernels OBJECT ${cuda_sources})  # a target of its own: what ./dev cuda compiles
  target_link_libraries(cuda_kernels PRIVATE bonafide_flags OpenMP::OpenMP_CXX)
  add_library(bonafide STATIC ${sources} $<TARGET_OBJECTS:cuda_kernels>)
  if(BONAFIDE_WITH_CUDA)
    target_link_libraries(bonafide PRIVATE CUDA::cudart CUDA::cublasLt ${BONAFIDE_CUDNN_TARGET})
  endif()
  target_link_libraries(bonafide PUBLIC $<BUILD_INTERFACE:bonafide_flags> OpenMP::OpenMP_CXX Threads::Threads
    PRIVATE $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> ${BONAFIDE_ONEDNN_TARGET} hwy::hwy ZLIB::ZLIB)
  target_include_directories(bonafide SYSTEM PRIVATE ${XXHASH_INCLUDE_DIR})
  # What users of the installed library need: none of our warnings and tuning, but headers that mean what the library was
  # compiled with.
  target_compile_features(bonafide PUBLIC cxx_std_20)
  target_include_directories(bonafide INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_definitions(bonafide INTERFACE $<INSTALL_INTERFACE:BF_CHECKED=$<BOOL:${BONAFIDE_CHECKED}>>)
  add_library(bonafide::bonafide ALIAS bonafide)
  if(BONAFIDE_OPENCV)
    bonafide_glob(image_sources data/images/*.cpp data/faces/*.cpp)
    add_library(bonafide_images STATIC ${image_sources})
    target_link_libraries(bonafide_images PUBLIC bonafide
      PRIVATE opencv_core opencv_imgproc opencv_imgcodecs opencv_photo opencv_objdetect libjpeg-turbo::turbojpeg
      $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>)
    set_target_properties(bonafide_images PROPERTIES EXPORT_NAME images)
    add_library(bonafide::images ALIAS bonafide_images)
  endif()
endfunction()

# What the program says about itself. As of the last configuration: no build step runs git.
function(bonafide_build_facts source)
  set(describe "unknown")
  find_package(Git QUIET)
  if(GIT_FOUND)
    execute_process(COMMAND ${GIT_EXECUTABLE} describe --always --dirty --tags WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
      OUTPUT_VARIABLE describe OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(NOT describe)
      set(describe "unknown")
    endif()
  endif()
  set_source_files_properties(${source} PROPERTIES COMPILE_DEFINITIONS
    "BF_VERSION=\"${PROJECT_VERSION}\";BF_GIT_DESCRIBE=\"${describe}\";BF_BUILD_TYPE=\"${CMAKE_BUILD_TYPE}\";BF_BASELINE=\"${BONAFIDE_MARCH}\";BF_OPENCV_VERSION=\"${OpenCV_VERSION}\"")
endfunction()

# The program `bonafide`; bonafide-train and bonafide-eval are other names of the same file.
function(bonafide_program)
  if(NOT BONAFIDE_OPENCV)
    return()  # every command of today reads image files
  endif()
  bonafide_glob(sources apps/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/apps/main.cpp$")
  add_library(bonafide_apps STATIC ${sources})
  target_link_libraries(bonafide_apps PUBLIC bonafide_images
    PRIVATE CLI11::CLI11 nlohmann_json::nlohmann_json ${BONAFIDE_ONEDNN_TARGET})
  bonafide_build_facts(apps/common/build_info.cpp)
  add_executable(bonafide_cli apps/main.cpp)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND BONAFIDE_MARCH STREQUAL "x86-64-v3")
    # This file says that the processor lacks v3: it must run without. (The later -march wins.)
    set_source_files_properties(apps/main.cpp PROPERTIES COMPILE_OPTIONS "-march=x86-64" COMPILE_DEFINITIONS BF_NEEDS_V3)
  endif()
  target_link_libraries(bonafide_cli PRIVATE bonafide_apps)
  set_target_properties(bonafide_cli PROPERTIES OUTPUT_NAME bonafide RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  foreach(name bonafide-train bonafide-eval)
    add_custom_command(TARGET bonafide_cli POST_BUILD
      COMMAND ${CMAKE_COMMAND} -E create_symlink bonafide ${CMAKE_BINARY_DIR}/bin/${name})
  endforeach()
endfunction()

# The emulated GPU: every cuda.cu once more, compiled so that its kernels run on the CPU. Objects and not a library, so that
# they come before the library's own in every program that links them.
function(bonafide_emulated_cuda)
  bonafide_glob(emulator_sources kernels/emulator/*.cpp)
  bonafide_glob(cuda_sources kernels/*.cu)
  set(sources ${emulator_sources})
  foreach(source ${cuda_sources})  # under another name: a file has one language in a directory
    file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR} ${source})
    set(wrapper ${CMAKE_BINARY_DIR}/emulated/${name}.cpp)
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"${name}\"\n")
    list(APPEND sources ${wrapper})
  endforeach()
  add_library(emulated_cuda OBJECT ${sources})
  target_compile_definitions(emulated_cuda PUBLIC BF_EMULATED_CUDA)
  target_link_libraries(emulated_cuda PUBLIC bonafide Boost::context)
endfunction()

# One program per tier, one file per operation: tests/<tier>/test_*.cpp -> build/tests/test_<tier>.
# tests/images is the part of the host tier that needs OpenCV.
function(bonafide_tests)
  add_library(test_support STATIC tests/support/main.cpp tests/support/gradcheck.cpp)
  target_link_libraries(test_support PUBLIC bonafide doctest::doctest)
  if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=thread")
    target_sources(test_support INTERFACE ${CMAKE_SOURCE_DIR}/tests/support/tsan_openmp.cpp)  # into every test program
  endif()
  target_compile_definitions(test_support PUBLIC BF_SOURCE_DIR="${CMAKE_SOURCE_DIR}" BF_BINARY_DIR="${CMAKE_BINARY_DIR}")
  if(BONAFIDE_EMULATOR)
    bonafide_emulated_cuda()
  endif()
  foreach(tier host emulated device images e2e slow interop)
    bonafide_glob(sources tests/${tier}/*.cpp)
    if((tier STREQUAL "device" AND NOT BONAFIDE_WITH_CUDA) OR (tier STREQUAL "emulated" AND NOT BONAFIDE_EMULATOR))
      continue()
    endif()
    if(tier MATCHES "^(host|emulated|device)$")
      bonafide_glob(kernel_tests tests/kernels/*.cpp)  # one text for every backend
      list(APPEND sources ${kernel_tests})
    endif()
    if(tier STREQUAL "images")
      bonafide_glob(fuzz_targets tests/fuzz/*.cpp)  # run over their seeds by tests/images/test_fuzz_targets.cpp
      list(FILTER fuzz_targets EXCLUDE REGEX "/tests/fuzz/main.cpp$")
      list(APPEND sources ${fuzz_targets})
    endif()
    if(NOT sources OR (NOT BONAFIDE_OPENCV AND NOT tier MATCHES "^(host|emulated|device)$"))
      continue()
    endif()
    add_executable(test_${tier} ${sources})
    target_link_libraries(test_${tier} PRIVATE test_support nlohmann_json::nlohmann_json ${BONAFIDE_ONEDNN_TARGET} ZLIB::ZLIB)
    if(tier STREQUAL "emulated")
      target_link_libraries(test_${tier} PRIVATE emulated_cuda)
    elseif(tier STREQUAL "device")
      target_compile_definitions(test_${tier} PRIVATE BF_TEST_DEVICE)
    elseif(NOT tier STREQUAL "host")
      target_link_libraries(test_${tier} PRIVATE bonafide_apps opencv_core opencv_imgproc opencv_imgcodecs)
    endif()
    if(NOT tier MATCHES "^(host|emulated|device|images)$")
      add_dependencies(test_${tier} bonafide_cli)  # these tiers start the program itself
    endif()
    set_target_properties(test_${tier} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME ${tier} COMMAND test_${tier})
    set_tests_properties(${tier} PROPERTIES ENVIRONMENT OMP_NUM_THREADS=1)
  endforeach()
endfunction()

# libFuzzer programs (clang only), one per file of tests/fuzz, over the readers alone: what they do not need is not built.
function(bonafide_fuzzers)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang" OR NOT BONAFIDE_OPENCV)
    message(FATAL_ERROR "The fuzz targets need clang and OpenCV (./dev fuzz sees to both)")
  endif()
  bonafide_glob(sources engine/*.cpp data/*.cpp data/images/*.cpp apps/common/options*.cpp)
  bonafide_choose_cuda_calls(sources)
  list(FILTER sources EXCLUDE REGEX "/data/(faces/|images/(attacks/|camera|contact_sheet|render_files|simulate|texture))")
  add_library(fuzzed_readers STATIC ${sources})
  target_compile_options(fuzzed_readers PUBLIC -fsanitize=fuzzer-no-link)
  target_include_directories(fuzzed_readers SYSTEM PRIVATE ${XXHASH_INCLUDE_DIR})
  target_link_libraries(fuzzed_readers PUBLIC bonafide_flags OpenMP::OpenMP_CXX Threads::Threads nlohmann_json::nlohmann_json
    hwy::hwy ZLIB::ZLIB opencv_core opencv_imgproc opencv_imgcodecs libjpeg-turbo::turbojpeg)
  bonafide_glob(targets tests/fuzz/*.cpp)
  list(FILTER targets EXCLUDE REGEX "/tests/fuzz/main.cpp$")
  foreach(source ${targets})
    get_filename_component(name ${source} NAME_WE)
    add_executable(fuzz_${name} ${source} tests/fuzz/main.cpp)
    target_link_libraries(fuzz_${name} PRIVATE fuzzed_readers)
    target_compile_definitions(fuzz_${name} PRIVATE BF_SOURCE_DIR="${CMAKE_SOURCE_DIR}")  # for seeds out of tests/fixtures
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  endforeach()
endfunction()

# bench_gpu: only when it is asked for by name (bench/gpu.sh).
function(bonafide_gpu_benchmark)
  bonafide_glob(sources bench/gpu/*.cpp)
  add_executable(bench_gpu EXCLUDE_FROM_ALL ${sources})
  target_link_libraries(bench_gpu PRIVATE bonafide CUDA::cudart nlohmann_json::nlohmann_json)
  set_target_properties(bench_gpu PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
endfunction()

function(bonafide_benchmarks)
  bonafide_glob(sources bench/bench_*.cpp)
  if(NOT BONAFIDE_OPENCV)
    list(FILTER sources EXCLUDE REGEX "bench_(loader|faces)")  # read image files
  endif()
  if(NOT BONAFIDE_ONEDNN)
    list(FILTER sources EXCLUDE REGEX "bench_(depthwise_conv|conv2d)")  # compares with oneDNN's
  endif()
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE bonafide benchmark::benchmark_main)
    if(name MATCHES "^bench_(loader|faces)$")
      target_link_libraries(${name} PRIVATE bonafide_images libjpeg-turbo::turbojpeg)
    endif()
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
  endforeach()
endfunction()
