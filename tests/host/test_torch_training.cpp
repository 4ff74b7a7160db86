// tests/host/test_torch_training.cpp — thirty steps of the paper's recipe, step by step beside PyTorch.
#include "tests/support/formula_training.h"

using namespace bonafide::test;

TEST_CASE("torch: thirty training steps of atto follow PyTorch") { train_beside_torch("atto"); }
