// tests/host/test_label.cpp — codes and names, both ways.
#include "data/label.h"

#include "tests/support/support.h"

using namespace bonafide;

TEST_CASE("label: codes and names") {
  CHECK(Label::parse("0_0_0")->genuine());
  CHECK(Label::parse("genuine") == Label{});
  CHECK(Label::parse("live") == Label{});
  CHECK(Label::parse("1_0_2") == kCutout);
  CHECK(Label::parse("face_swap") == Label{2, 0, 1});
  CHECK(kReplay.name() == "replay");
  CHECK(Label{}.name() == "genuine");
  CHECK(Label{2, 1, 0}.name() == "pixel_adversarial");
  CHECK(kPixelNoise.name() == "pixel_noise");
  CHECK(Label{7, 12, 0}.name() == "7_12_0");
  CHECK(Label::parse("7_12_0") == Label{7, 12, 0});
  CHECK(kPrint.physical());
  CHECK(!kFaceSwap.physical());
  CHECK(!kPixelNoise.genuine());
}

TEST_CASE("label: what is no label") {
  for (const char* s : {"", "0", "1_0", "1_0_", "1_0_2_", "1_0_2_3", "_0_0_0", "1__2", "-1_0_0", " 0_0_0", "0_0_0 ",
                        "Genuine", "attack", "1_0_1000", "1.0_0_0"})
    CHECK_MESSAGE(!Label::parse(s), s);
}

TEST_CASE("label: every name reads back as its code") {
  for (int a = 0; a < 4; ++a)
    for (int b = 0; b < 4; ++b)
      for (int c = 0; c < 4; ++c) {
        const Label l{a, b, c};
        CHECK(Label::parse(l.name()) == l);
        CHECK(Label::parse(l.code()) == l);
      }
}
