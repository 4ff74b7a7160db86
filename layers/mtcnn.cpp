// layers/mtcnn.cpp
#include "layers/mtcnn.h"

#include "engine/host_values.h"
#include "layers/functional/conv2d.h"
#include "layers/functional/linear.h"
#include "layers/functional/max_pool2d.h"
#include "layers/functional/prelu.h"

namespace bonafide {
namespace {

using kernels::Window2d;
using mtcnn_parts::Layer;

struct Specs {
  std::vector<ParameterSpec> list;
  Specs& layer(const std::string& name, Shape weight) {
    list.push_back({name + ".weight", weight, Init::truncated_normal});
    list.push_back({name + ".bias", {weight[0]}, Init::zeros});
    return *this;
  }
  Specs& prelu(const std::string& name, std::int64_t channels) {
    list.push_back({name + ".weight", {channels}, Init::ones});
    return *this;
  }
};

Layer layer(const ParameterSet& p, const std::string& name, const std::string& prelu) {
  return {p[name + ".weight"], p[name + ".bias"], p[prelu + ".weight"]};
}

Tensor stacked(const ParameterSet& p, const std::vector<std::string>& names, Shape shape) {
  std::vector<float> all;
  for (const std::string& name : names) {
    const HostValues values(p[name]);
    all.insert(all.end(), values.span().begin(), values.span().end());
  }
  return Tensor::from_host(p.context(), shape, all, DType::f32, "weights");
}

// Layers on the same input as one, their results side by side.
Layer heads(const ParameterSet& p, const std::vector<std::string>& names) {
  std::vector<std::string> weights, biases;
  std::int64_t out = 0, in = 0;
  for (const std::string& name : names) {
    const Shape s = p[name + ".weight"].shape();
    out += s[0], in = s[1];
    weights.push_back(name + ".weight"), biases.push_back(name + ".bias");
  }
  return {stacked(p, weights, {out, in}), stacked(p, biases, {out}), {}};
}

// The published networks flatten [N, W, H, C], ours lie as [N, H, W, C]: columns of the weights change places instead.
Layer after_flattening(const ParameterSet& p, const std::string& name, const std::string& prelu, std::int64_t side, std::int64_t C) {
  Layer l = layer(p, name, prelu);
  const HostValues theirs(l.weight);
  const std::int64_t out = l.weight.shape()[0], in = side * side * C;
  std::vector<float> ours(std::size_t(out * in));
  for (std::int64_t o = 0; o < out; ++o)
    for (std::int64_t h = 0; h < side; ++h)
      for (std::int64_t w = 0; w < side; ++w)
        for (std::int64_t c = 0; c < C; ++c)
          ours[std::size_t(o * in + (h * side + w) * C + c)] = theirs.span()[o * in + (w * side + h) * C + c];
  l.weight = Tensor::from_host(p.context(), {out, in}, ours, DType::f32, "weights");
  return l;
}

Tensor conv(const Tensor& x, const Layer& l, int kernel) {
  return fn::prelu(fn::conv2d(x, l.weight, l.bias, {.kernel_h = kernel, .kernel_w = kernel}), l.slope);
}
Tensor pool(const Tensor& x, int kernel) {
  return fn::max_pool2d(x, {.kernel_h = kernel, .kernel_w = kernel, .stride_h = 2, .stride_w = 2, .ceil_mode = true});
}
Tensor flat(const Tensor& x) { return x.reshape({x.shape()[0], x.numel() / std::max<std::int64_t>(1, x.shape()[0])}); }

void check_input(const char* net, const Tensor& x, int side) {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() == 4 && s[0] > 0 && s[1] == side && s[2] == side && s[3] == 3, net, ": x ", s.str(), ", expected [N, ", side,
           ", ", side, ", 3]");
}

}  // namespace

std::vector<ParameterSpec> pnet_parameters() {
  return Specs()
      .layer("conv1", {10, 3, 3, 3}).prelu("prelu1", 10)
      .layer("conv2", {16, 10, 3, 3}).prelu("prelu2", 16)
      .layer("conv3", {32, 16, 3, 3}).prelu("prelu3", 32)
      .layer("conv4_1", {2, 32, 1, 1})
      .layer("conv4_2", {4, 32, 1, 1})
      .list;
}
std::vector<ParameterSpec> rnet_parameters() {
  return Specs()
      .layer("conv1", {28, 3, 3, 3}).prelu("prelu1", 28)
      .layer("conv2", {48, 28, 3, 3}).prelu("prelu2", 48)
      .layer("conv3", {64, 48, 2, 2}).prelu("prelu3", 64)
      .layer("dense4", {128, 576}).prelu("prelu4", 128)
      .layer("dense5_1", {2, 128})
      .layer("dense5_2", {4, 128})
      .list;
}
std::vector<ParameterSpec> onet_parameters() {
  return Specs()
      .layer("conv1", {32, 3, 3, 3}).prelu("prelu1", 32)
      .layer("conv2", {64, 32, 3, 3}).prelu("prelu2", 64)
      .layer("conv3", {64, 64, 3, 3}).prelu("prelu3", 64)
      .layer("conv4", {128, 64, 2, 2}).prelu("prelu4", 128)
      .layer("dense5", {256, 1152}).prelu("prelu5", 256)
      .layer("dense6_1", {2, 256})
      .layer("dense6_2", {4, 256})
      .layer("dense6_3", {10, 256})
      .list;
}

PNet::PNet(const ParameterSet& p)
    : conv1_(layer(p, "conv1", "prelu1")),
      conv2_(layer(p, "conv2", "prelu2")),
      conv3_(layer(p, "conv3", "prelu3")),
      heads_(heads(p, {"conv4_1", "conv4_2"})) {}

Tensor PNet::operator()(const Tensor& x) const {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() == 4 && s[0] > 0 && s[1] >= kLeastSide && s[2] >= kLeastSide && s[3] == 3, "PNet: x ", s.str(),
           ", expected [N, H, W, 3] with sides of at least 11");
  return fn::linear(conv(conv(pool(conv(x, conv1_, 3), 2), conv2_, 3), conv3_, 3), heads_.weight, heads_.bias);
}

RNet::RNet(const ParameterSet& p)
    : conv1_(layer(p, "conv1", "prelu1")),
      conv2_(layer(p, "conv2", "prelu2")),
      conv3_(layer(p, "conv3", "prelu3")),
      dense4_(after_flattening(p, "dense4", "prelu4", 3, 64)),
      heads_(heads(p, {"dense5_1", "dense5_2"})) {}

Tensor RNet::operator()(const Tensor& x) const {
  check_input("RNet", x, kSide);
  const Tensor t = flat(conv(pool(conv(pool(conv(x, conv1_, 3), 3), conv2_, 3), 3), conv3_, 2));
  return fn::linear(fn::prelu(fn::linear(t, dense4_.weight, dense4_.bias), dense4_.slope), heads_.weight, heads_.bias);
}

ONet::ONet(const ParameterSet& p)
    : conv1_(layer(p, "conv1", "prelu1")),
      conv2_(layer(p, "conv2", "prelu2")),
      conv3_(layer(p, "conv3", "prelu3")),
      conv4_(layer(p, "conv4", "prelu4")),
      dense5_(after_flattening(p, "dense5", "prelu5", 3, 128)),
      heads_(heads(p, {"dense6_1", "dense6_2", "dense6_3"})) {}

Tensor ONet::operator()(const Tensor& x) const {
  check_input("ONet", x, kSide);
  const Tensor t = conv(pool(conv(pool(conv(x, conv1_, 3), 3), conv2_, 3), 3), conv3_, 3);
  const Tensor u = flat(conv(pool(t, 2), conv4_, 2));
  return fn::linear(fn::prelu(fn::linear(u, dense5_.weight, dense5_.bias), dense5_.slope), heads_.weight, heads_.bias);
}

}  // namespace bonafide
