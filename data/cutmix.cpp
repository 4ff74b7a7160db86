// data/cutmix.cpp — see cutmix.h.
#include "data/cutmix.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace bonafide {
namespace {

// partner[i] for all i: the members of each class are shuffled among themselves. Classes are taken in rising order.
std::vector<std::int32_t> shuffle_within(Random& random, const std::vector<float>& classes) {
  std::map<float, std::vector<std::int32_t>> members;
  for (std::size_t i = 0; i < classes.size(); ++i) members[classes[i]].push_back(std::int32_t(i));
  std::vector<std::int32_t> partner(classes.size());
  for (const auto& [label, own] : members) {
    std::vector<std::int32_t> shuffled = own;
    random.shuffle(shuffled);
    for (std::size_t k = 0; k < own.size(); ++k) partner[std::size_t(own[k])] = shuffled[k];
  }
  return partner;
}

}  // namespace

CutMixDraw draw_cutmix(Random& random, const CutMixSettings& s, const std::vector<SampleDraw>& samples) {
  if (s.partner != "any" && s.partner != "same_class")
    throw Error(str("cutmix_partner is '", s.partner, "', expected any or same_class"));
  if (!(s.probability >= 0 && s.probability <= 1))
    throw Error(str("cutmix_prob is ", s.probability, ", expected [0, 1]"));
  if (!(s.alpha > 0)) throw Error(str("cutmix_alpha is ", s.alpha, ", expected more than 0"));
  BF_CHECK(s.height > 0 && s.width > 0, "CutMix of images of ", s.width, " x ", s.height);
  CutMixDraw draw;
  if (samples.empty() || !random.chance(s.probability)) return draw;
  draw.on = true;
  std::vector<float> classes(samples.size(), 0.0f);
  if (s.partner == "same_class")
    for (std::size_t i = 0; i < samples.size(); ++i) classes[i] = samples[i].label;
  draw.partner = shuffle_within(random, classes);
  const double side = std::sqrt(1 - random.beta(s.alpha, s.alpha));
  const int half_width = int(s.width * side) / 2, half_height = int(s.height * side) / 2;
  const int x = int(random.below(s.width)), y = int(random.below(s.height));
  draw.x1 = std::max(x - half_width, 0), draw.x2 = std::min(x + half_width, s.width);
  draw.y1 = std::max(y - half_height, 0), draw.y2 = std::min(y + half_height, s.height);
  const double area = double(draw.x2 - draw.x1) * double(draw.y2 - draw.y1);
  draw.keep = float(1 - area / (double(s.width) * double(s.height)));
  return draw;
}

}  // namespace bonafide
