// kernels/cutmix/cpu.cpp — one work item is one line of one image.
#include <algorithm>

#include "engine/parallel.h"
#include "kernels/cutmix/cutmix.h"

namespace bonafide::kernels {
namespace {

void check_count(Span<const std::int32_t> partner, std::int64_t images) {
  BF_CHECK(partner.len <= images, "cutmix: ", partner.len, " partners for ", images, " images");
}
void check_partners(Span<const std::int32_t> partner, std::int64_t images) {
  for (std::int64_t n = 0; n < partner.len; ++n)
    BF_CHECK(partner[n] >= 0 && partner[n] < images, "cutmix: partner[", n, "] = ", partner[n], " of ", images,
             " images");
}

}  // namespace

template <class T>
void check(const CutMix<T>& a) {
  check_count(a.partner, a.M);
  const std::int64_t size = a.H * a.W * a.C;
  BF_CHECK(a.image.len == a.M * size, "cutmix: image has ", a.image.len, " elements, expected [", a.M, ", ", a.H, ", ",
           a.W, ", ", a.C, "]");
  BF_CHECK(a.out.len == a.partner.len * size, "cutmix: out has ", a.out.len, " elements, expected [", a.partner.len,
           ", ", a.H, ", ", a.W, ", ", a.C, "]");
  BF_CHECK(a.out.end() <= a.image.begin() || a.image.end() <= a.out.begin(), "cutmix: out overlaps image");
  BF_CHECK(0 <= a.x1 && a.x1 <= a.x2 && a.x2 <= a.W && 0 <= a.y1 && a.y1 <= a.y2 && a.y2 <= a.H, "cutmix: box ", a.x1,
           ", ", a.y1, " to ", a.x2, ", ", a.y2, " in ", a.W, " x ", a.H);
}
void check(const CutMixLabels& a) {
  check_count(a.partner, a.labels.len);
  BF_CHECK(a.mixed.len == a.partner.len, "cutmix: ", a.mixed.len, " mixed labels for ", a.partner.len, " images");
  BF_CHECK(a.keep >= 0 && a.keep <= 1, "cutmix: keep ", a.keep, ", expected [0, 1]");
}

template void check(const CutMix<std::uint8_t>&);
template void check(const CutMix<float>&);
template void check(const CutMix<bf16>&);

namespace cpu {

template <class T>
void cutmix(const CutMix<T>& a) {
  check(a);
  check_partners(a.partner, a.M);
  const std::int64_t line = a.W * a.C;
  parallel_for(a.partner.len * a.H, [&](std::int64_t i) {
    const std::int64_t n = i / a.H, y = i % a.H;
    const T *own = a.image.ptr + (n * a.H + y) * line, *other = a.image.ptr + (a.partner[n] * a.H + y) * line;
    T* out = a.out.ptr + i * line;
    const bool inside = a.y1 <= y && y < a.y2;
    const std::int64_t from = inside ? a.x1 * a.C : 0, to = inside ? a.x2 * a.C : 0;
    std::copy(own, own + from, out);
    std::copy(other + from, other + to, out + from);
    std::copy(own + to, own + line, out + to);
  });
}

void cutmix_labels(const CutMixLabels& a) {
  check(a);
  check_partners(a.partner, a.labels.len);
  for (std::int64_t n = 0; n < a.partner.len; ++n)
    a.mixed[n] = mixed_label(a.keep, a.labels[n], a.labels[a.partner[n]]);
}

template void cutmix(const CutMix<std::uint8_t>&);
template void cutmix(const CutMix<float>&);
template void cutmix(const CutMix<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
