// layers/mtcnn.h — the three networks of MTCNN (Zhang et al. 2016) as facenet-pytorch publishes them. Names are its own.
//
//   PNet  any size   conv3x3 3->10, PReLU, max 2/2, conv3x3 ->16, PReLU, conv3x3 ->32, PReLU, two 1x1 heads
//   RNet  24 x 24    conv3x3 3->28, PReLU, max 3/2, conv3x3 ->48, PReLU, max 3/2, conv2x2 ->64, PReLU, 128, PReLU, heads
//   ONet  48 x 48    conv3x3 3->32, PReLU, max 3/2, conv3x3 ->64, PReLU, max 3/2, conv3x3 ->64, PReLU, max 2/2,
//                    conv2x2 ->128, PReLU, 256, PReLU, three heads
//
// Convolutions have a bias and no padding; pools round their size up. Input is (v - 127.5) / 128 of bytes in RGB. The heads'
// columns stand beside each other in one result: two logits (no face, face), four numbers that move the box and, of ONet, ten
// of landmarks (five x, then five y). What they mean: data/faces/mtcnn_boxes.h.
//
// For inference: the networks read the parameters once, when they are made.
#pragma once
#include <string>
#include <vector>

#include "layers/parameters.h"

namespace bonafide {

// 6,632, 100,178 and 389,040 numbers, in the order of the published files.
std::vector<ParameterSpec> pnet_parameters();
std::vector<ParameterSpec> rnet_parameters();
std::vector<ParameterSpec> onet_parameters();

namespace mtcnn_parts {

struct Layer {
  Tensor weight, bias, slope;  // slope: of the PReLU after it; empty: none
};

}  // namespace mtcnn_parts

class PNet {
 public:
  static constexpr int kLeastSide = 11, kAnswers = 6;
  // Cells along an axis of `side` pixels: windows of 12 pixels, 2 apart. Of an odd side the last one's last pixel is not there.
  static constexpr std::int64_t cells(std::int64_t side) { return side < kLeastSide ? 0 : (side - 1) / 2 - 4; }

  explicit PNet(const ParameterSet&);
  // x [N, H, W, 3], sides of at least 11 -> [N, cells(H), cells(W), 6]
  Tensor operator()(const Tensor& x) const;

 private:
  mtcnn_parts::Layer conv1_, conv2_, conv3_, heads_;
};

class RNet {
 public:
  static constexpr int kSide = 24, kAnswers = 6;
  explicit RNet(const ParameterSet&);
  Tensor operator()(const Tensor& x) const;  // [N, 24, 24, 3] -> [N, 6]

 private:
  mtcnn_parts::Layer conv1_, conv2_, conv3_, dense4_, heads_;
};

class ONet {
 public:
  static constexpr int kSide = 48, kAnswers = 16;
  explicit ONet(const ParameterSet&);
  Tensor operator()(const Tensor& x) const;  // [N, 48, 48, 3] -> [N, 16]

 private:
  mtcnn_parts::Layer conv1_, conv2_, conv3_, conv4_, dense5_, heads_;
};

}  // namespace bonafide
