// kernels/hue_saturation_value/hue_saturation_value.simt.h — hue, saturation and value, the body of its CUDA kernel: every
// block makes the tables, then four pixels a thread.
#pragma once
#include "kernels/hue_saturation_value/arithmetic.h"
#include "kernels/hue_saturation_value/hue_saturation_value.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class F>
void for_each_array(const HueSaturationValue& a, F&& f) {
  f("image", a.image);
}

namespace simt_bodies {
using namespace simt;

struct HueSaturationValueKernel {
  static constexpr const char* kName = "hue_saturation_value";
  static constexpr int kMaxThreads = kElementwiseThreads, kPixels = 4;
  static_assert(kMaxThreads == 256);  // a thread per entry of the tables
  struct HueReciprocal;
  struct SaturationReciprocal;
  struct Saturation;
  struct Value;
  struct Fall;  // [3, 256]: hue before the shift -> fall of the channel after it
  static LaunchShape shape(const HueSaturationValue& a) { return elementwise_shape<kPixels>(a.image.len / 3); }
  template <Block B>
  BF_DEVICE static void run(B& block, const HueSaturationValue& a) {
    const auto hue = block.template shared<HueReciprocal, std::int32_t, 256>();
    const auto reciprocal = block.template shared<SaturationReciprocal, std::int32_t, 256>();
    const auto saturation = block.template shared<Saturation, std::uint8_t, 256>();
    const auto value = block.template shared<Value, std::uint8_t, 256>();
    const auto fall = block.template shared<Fall, std::uint8_t, 3 * 256>();
    const int t = block.tx(), h = hsv::shifted_hue(t < 180 ? t : 0, a.hue);
    block.store(hue, t, hsv::hue_reciprocal(t));
    block.store(reciprocal, t, hsv::saturation_reciprocal(t));
    block.store(saturation, t, hsv::clipped(t, a.saturation));
    block.store(value, t, hsv::clipped(t, a.value));
    block.store(fall, t, std::uint8_t(hsv::fall(hsv::kRedFull, h)));
    block.store(fall, 256 + t, std::uint8_t(hsv::fall(hsv::kGreenFull, h)));
    block.store(fall, 512 + t, std::uint8_t(hsv::fall(hsv::kBlueFull, h)));
    block.sync();

    const bool bgr = a.order == ColorOrder::bgr;
    for_own_elements<kPixels>(block, a.image.len / 3, all_aligned<kPixels>(block, a.image), [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      Vector<std::uint8_t, N> part[3];  // the 3 N bytes of N pixels
      for (int k = 0; k < 3; ++k) part[k] = block.template load_vector<N>(a.image, 3 * i + k * N);
      for (int j = 0; j < N; ++j) {
        std::uint8_t &first = part[3 * j / N][3 * j % N], &green = part[(3 * j + 1) / N][(3 * j + 1) % N],
                     &last = part[(3 * j + 2) / N][(3 * j + 2) % N];
        const auto c = hsv::forward(
            bgr ? last : first, green, bgr ? first : last, [&](int range) { return block.load(hue, range); },
            [&](int v) { return block.load(reciprocal, v); });
        const int s = block.load(saturation, c.s), v = block.load(value, c.v);
        const std::uint8_t red = hsv::back(s, v, block.load(fall, c.h)), blue = hsv::back(s, v, block.load(fall, 512 + c.h));
        green = hsv::back(s, v, block.load(fall, 256 + c.h));
        first = bgr ? blue : red, last = bgr ? red : blue;
      }
      for (int k = 0; k < 3; ++k) block.store_vector(a.image, 3 * i + k * N, part[k]);
    });
  }
};

// What is launched. Launch: called with a kernel and its arguments.
template <class Launch>
void hue_saturation_value(Launch&& launch, const HueSaturationValue& a) {
  check(a);
  launch(HueSaturationValueKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
