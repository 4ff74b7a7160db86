// tests/host/test_older_processors.cpp — what a machine with AVX-512 never runs: oneDNN as it is on a machine without.
// oneDNN decides once in a process, so that the tests of products and convolutions start again in a process of their own.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

TEST_CASE("linear, conv2d: the same tests pass where oneDNN has no AVX-512, and so no bf16") {
  if (std::getenv("ONEDNN_MAX_CPU_ISA")) return;  // this is that process
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  CHECK(std::system(("ONEDNN_MAX_CPU_ISA=AVX2 '" + self + "' -sf='*/test_matmul.cpp,*/test_conv2d.cpp,*/test_conv2d_pieces.cpp' >/dev/null").c_str()) == 0);
}
