# Run by cmake --install (cmake/install.cmake sets headers, source and include_dir): copies the public headers, each
# #include of one of our folders pointing below bonafide/.
foreach(header ${headers})
  file(READ ${source}/${header} text)
  string(REGEX REPLACE "#include \"(engine|kernels|layers|data)/" "#include \"bonafide/\\1/" text "${text}")
  set(target ${CMAKE_INSTALL_PREFIX}/${include_dir}/bonafide/${header})
  set(before "")
  if(EXISTS $ENV{DESTDIR}${target})
    file(READ $ENV{DESTDIR}${target} before)
  endif()
  if(NOT before STREQUAL text)  # as install(FILES) does: what is the same keeps its date
    file(WRITE $ENV{DESTDIR}${target} "${text}")
  endif()
  list(APPEND CMAKE_INSTALL_MANIFEST_FILES ${target})
endforeach()
list(LENGTH headers count)
message(STATUS "Installed: ${count} headers in ${CMAKE_INSTALL_PREFIX}/${include_dir}/bonafide")
