// layers/inception_resnet.h — InceptionResnetV1, the face embedding network of FaceNet as facenet-pytorch publishes it. Names
// are its own.
//
// 160 x 160 x 3, (v - 127.5) / 128 of bytes in RGB, to 512 numbers of length 1:
//   stem     3x3/2 32, 3x3 32, 3x3 64, max 3/2, 1x1 80, 3x3 192, 3x3/2 256            -> 17 x 17 x 256
//   repeat_1 five times  x + 0.17 f(x), f of three branches                            mixed_6a -> 8 x 8 x 896
//   repeat_2 ten times   x + 0.10 f(x), f of two (1x7, 7x1)                            mixed_7a -> 3 x 3 x 1792
//   repeat_3 five times  x + 0.20 f(x), f of two (1x3, 3x1); block8: x + f(x), no ReLU after it
//   mean over the image, linear 512, batch norm, length 1
// Every convolution but the last of a block is followed by batch norm (eps 1e-3, running statistics) and ReLU.
#pragma once
#include <string>
#include <vector>

#include "kernels/window.h"
#include "layers/weights.h"

namespace bonafide {

// 23,482,624 numbers, without the classifier of the published file.
std::vector<ParameterSpec> inception_resnet_v1_parameters();
// The same and the running means and variances, in the order of the published file.
std::vector<ParameterSpec> inception_resnet_v1_state();

// Into a ParameterSet of inception_resnet_v1_state(): every name must be in the file. Its classifier (logits.*) and its counts
// of batches (*.num_batches_tracked) are left out; whatever else is missing or unexpected is listed by the Error.
void load_inception_resnet_v1(ParameterSet&, const WeightFile&);

struct InceptionResnetV1Options {
  // Batch norms become part of the convolutions before them when the network is made: the same function to rounding, in
  // less time. Off: every batch norm is computed as it stands.
  bool fold_batch_norm = true;
};

// For inference: with folding the values are read when the network is made, and changes after that have no effect.
class InceptionResnetV1 {
 public:
  static constexpr int kSide = 160, kDimension = 512;

  explicit InceptionResnetV1(const ParameterSet&, const InceptionResnetV1Options& = {});
  // x [N, H, W, 3] f32, sides of at least 75 -> [N, 512] f32
  Tensor operator()(const Tensor& x) const { return until("", x); }
  // What the named part makes of it: conv2d_1a, …, repeat_1, mixed_6a, repeat_2, mixed_7a, repeat_3, block8 or last_bn.
  Tensor until(const std::string& part, const Tensor& x) const;

 private:
  struct Unit {  // a convolution or a linear layer, and its batch norm
    Tensor weight, bias;                 // bias: of the folded batch norm
    Tensor gamma, beta, mean, variance;  // where it is not folded
    kernels::Window2d window;
  };
  using Branch = std::vector<Unit>;
  struct Block {
    std::vector<Branch> branches;
    Tensor weight, bias;  // of the 1x1 convolution behind them
    float scale = 1;
    bool relu = true;
  };
  struct Stage {  // a named part: units one after the other, or blocks, or branches beside a pool; then perhaps a pool
    std::string name;
    Branch units;
    std::vector<Block> blocks;
    std::vector<Branch> beside_pool;
    bool pool_after = false;
  };
  Unit unit(const ParameterSet&, const std::string& layer, const std::string& norm) const;
  Tensor normalised(const Unit&, const Tensor& x) const;
  Tensor run(const Branch&, Tensor x) const;
  Tensor run(const Block&, const Tensor& x) const;
  Tensor run(const Stage&, Tensor x) const;

  bool fold_;
  std::vector<Stage> stages_;
  Unit last_;
};

}  // namespace bonafide
