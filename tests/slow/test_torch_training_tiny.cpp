// tests/slow/test_torch_training_tiny.cpp — the first twelve of thirty training steps of ConvNeXt-V2 tiny beside
// PyTorch.
#include "tests/support/formula_training.h"

using namespace bonafide::test;

TEST_CASE("torch: twelve training steps of tiny follow PyTorch") { train_beside_torch("tiny"); }
