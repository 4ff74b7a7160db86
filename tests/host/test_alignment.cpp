// tests/host/test_alignment.cpp — what CUDA's libraries are told of an address: too much would be a fault on the GPU.
#include "kernels/alignment.h"

#include "tests/support/support.h"

using bonafide::kernels::alignment_of;

TEST_CASE("alignment: the largest power of two that divides the address, as far as anybody cares") {
  alignas(512) static char memory[1024];
  for (int offset = 0; offset < 512; ++offset) {
    std::uint32_t want = 1;
    while (want < 256 && offset % (2 * int(want)) == 0) want *= 2;
    CHECK(alignment_of(memory + offset, 256) == want);
    CHECK(alignment_of(memory + offset, 16) == std::min(want, std::uint32_t(16)));
  }
  CHECK(alignment_of(nullptr, 256) == 256);  // an operand that is not there
}
