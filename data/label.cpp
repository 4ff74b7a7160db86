// data/label.cpp — names of the label codes.
#include "data/label.h"

#include <charconv>

namespace bonafide {
namespace {

struct Named {
  Label label;
  const char* name;
};
constexpr Named kNames[] = {
    {{0, 0, 0}, "genuine"},
    {{0, 0, 0}, "live"},
    {{1, 0, 0}, "print"},
    {{1, 0, 1}, "replay"},
    {{1, 0, 2}, "cutout"},
    {{1, 1, 0}, "transparent_mask"},
    {{1, 1, 1}, "plaster_mask"},
    {{1, 1, 2}, "resin_mask"},
    {{2, 0, 0}, "attribute_edit"},
    {{2, 0, 1}, "face_swap"},
    {{2, 0, 2}, "video_driven"},
    {{2, 1, 0}, "pixel_adversarial"},
    {{2, 1, 1}, "semantic_adversarial"},
    {{2, 2, 0}, "id_consistent_generation"},
    {{2, 2, 1}, "style_generation"},
    {{2, 2, 2}, "prompt_generation"},
    {{2, 3, 0}, "pixel_noise"},
    {{2, 3, 1}, "recoded"},
};

}  // namespace

std::string Label::name() const {
  for (const Named& n : kNames)
    if (n.label == *this) return n.name;
  return code();
}

std::optional<Label> Label::parse(std::string_view s) {
  for (const Named& n : kNames)
    if (s == n.name) return n.label;
  int parts[3];
  for (int i = 0; i < 3; ++i) {
    std::size_t digits = 0;
    while (digits < s.size() && s[digits] >= '0' && s[digits] <= '9') ++digits;
    if (digits == 0 || digits > 3) return std::nullopt;
    std::from_chars(s.data(), s.data() + digits, parts[i]);
    s.remove_prefix(digits);
    if (i == 2) break;
    if (s.empty() || s[0] != '_') return std::nullopt;
    s.remove_prefix(1);
  }
  if (!s.empty()) return std::nullopt;
  return Label{parts[0], parts[1], parts[2]};
}

}  // namespace bonafide
