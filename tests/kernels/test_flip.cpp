// tests/kernels/test_flip.cpp — mirrored images.
#include "kernels/flip/flip.h"
#include "tests/support/backend.h"
#include "tests/support/bytes.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("flip: mirrors every row and keeps the order of channels; twice is nothing") {
  for (auto [h, w] : {std::pair{0, 0}, {0, 5}, {5, 0}, {1, 1}, {1, 2}, {3, 17}, {4, 33}, {7, 64}, {9, 61}}) for_each_variant([&, h = h, w = w] {
    const Bytes before = Bytes::random(3LL * h * w, unsigned(w));
    Bytes image = before;
    backend::flip({image.span(), h, w});
    image.check_guards("image");
    for (int y = 0; y < h; ++y)
      for (int x = 0; x < w; ++x)
        for (int c = 0; c < 3; ++c) REQUIRE(image[3 * (y * w + x) + c] == before[3 * (y * w + w - 1 - x) + c]);
    backend::flip({image.span(), h, w});
    CHECK(image == before);
  });
  Bytes image(30);
  expect_throw("30 bytes for an image of 3 x 4", [&] { backend::flip({image.span(), 3, 4}); });
}
