# What `cmake --install` lays down: libraries, headers, program, recipes, licence, example, and the CMake package that
# find_package(bonafide) reads. Nothing in it names a folder of this machine: the result can be moved.
#
# Headers go to include/bonafide/ and are rewritten on the way: "data/detector.h" becomes "bonafide/data/detector.h", so
# that a program writes #include <bonafide/data/detector.h> and no folder called data or engine lies on its path.
include(CMakePackageConfigHelpers)

function(bonafide_install)
  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/bonafide)
  install(TARGETS bonafide EXPORT bonafide_targets)
  install(EXPORT bonafide_targets FILE bonafide-targets.cmake NAMESPACE bonafide:: DESTINATION ${package})
  set(header_globs engine/*.h kernels/*.h layers/*.h data/*.h)
  set(not_public "-inl[.]h$" "[.]simt[.]h$" "^engine/cuda_(check|support)[.]h$" "^engine/comm/(socket|gloo|nccl|last_words|no_sigpipe)[.]h$"
    "^data/(images|faces)/" "^kernels/(simd|simt|emulator)/" "^kernels/(alignment|bounded_cache|carver|onednn|partial_sums|thread_scratch)[.]h$"
    "^kernels/matmul/(gemm_tile|cublaslt_gemm)[.]h$" "^kernels/conv2d/(conv_piece|cudnn_conv|patches)[.]h$"
    "^kernels/convnext_mlp/(common|cuda_memory|loops|packed|plan|products)[.]h$")
  list(JOIN not_public "|" not_public)
  if(BONAFIDE_PROGRAM)
    install(TARGETS bonafide_cli)
    install(FILES ${CMAKE_BINARY_DIR}/bin/bonafide-train ${CMAKE_BINARY_DIR}/bin/bonafide-eval TYPE BIN)  # links to bonafide
  endif()
  if(BONAFIDE_OPENCV)
    install(TARGETS bonafide_images EXPORT bonafide_images_targets)
    install(EXPORT bonafide_images_targets FILE bonafide-images-targets.cmake NAMESPACE bonafide:: DESTINATION ${package})
    string(REPLACE "^data/(images|faces)/" "^data/images/opencv[.]h$|^data/faces/(pool|working_size)[.]h$" not_public "${not_public}")
  endif()

  file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${header_globs})
  list(FILTER headers EXCLUDE REGEX "${not_public}")
  install(CODE "set(headers \"${headers}\")\nset(source \"${PROJECT_SOURCE_DIR}\")\nset(include_dir \"${CMAKE_INSTALL_INCLUDEDIR}\")")
  install(SCRIPT cmake/install_headers.cmake)

  configure_package_config_file(cmake/bonafide-config.cmake.in ${CMAKE_BINARY_DIR}/bonafide-config.cmake
    INSTALL_DESTINATION ${package} NO_SET_AND_CHECK_MACRO)
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/bonafide-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/bonafide-config.cmake ${CMAKE_BINARY_DIR}/bonafide-config-version.cmake
    cmake/onednn.cmake cmake/gloo.cmake cmake/cuda_toolkit.cmake cmake/cudnn.cmake cmake/nccl.cmake DESTINATION ${package})
  install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/bonafide)
  install(FILES LICENSE TYPE DOC)
  install(DIRECTORY docs/examples TYPE DOC)
endfunction()
