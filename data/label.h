// data/label.h — the three-part label code `a_b_c` of the published protocols (0_0_0 is genuine, all else an attack).
#pragma once
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

  static std::optional<Label> parse(std::string_view code_or_name);
};

}  // namespace bonafide
