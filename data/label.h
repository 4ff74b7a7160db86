// data/label.h — the three-part label code `a_b_c` of the published protocols (0_0_0 is genuine, all else an attack).
#pragma once
#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace bonafide {

struct Label {
  int a = 0, b = 0, c = 0;
  bool genuine() const { return a == 0 && b == 0 && c == 0; }
  bool physical() const { return a == 1; }
  std::string code() const { return std::to_string(a) + "_" + std::to_string(b) + "_" + std::to_string(c); }
  std::string name() const;  // "print", "replay", "face_swap", …; the code itself where no name is known
  friend auto operator<=>(const Label&, const Label&) = default;

  // A code (any three numbers of at most three digits: unknown species are species too) or one of the names; "live" is
  // another word for "genuine". nullopt for anything else.
  static std::optional<Label> parse(std::string_view code_or_name);
};

// The species with a name: the fifteen of the published code list and, at 2_3_x, two of our own that stay apart from
// them: 2_3_0 "pixel_noise" (random noise, which attacks nothing) and 2_3_1 "recoded" (genuine, decoded and encoded
// again: the control that a detector must not tell from genuine).
inline constexpr Label kPrint{1, 0, 0}, kReplay{1, 0, 1}, kCutout{1, 0, 2}, kFaceSwap{2, 0, 1}, kPixelNoise{2, 3, 0},
    kRecoded{2, 3, 1};

}  // namespace bonafide
