// layers/parameters.h — the parameters of a model, in flat arenas: f32 masters, gradients, and a compute copy.
//
// A model is first a list of ParameterSpecs (names as timm has them, in timm's order) and then a ParameterSet made from
// it. Optimiser, EMA, clipping, all-reduce and checkpoints walk one contiguous range in this fixed order.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "engine/context.h"
#include "engine/tensor.h"
#include "kernels/element_range.h"

namespace bonafide {

enum class Init : std::uint8_t { truncated_normal, zeros, ones };  // truncated_normal: std 0.02, cut at two deviations

struct ParameterSpec {
  std::string name;
  Shape shape;
  Init init = Init::zeros;
  bool decay() const { return shape.rank() > 1; }  // matrices and filters; not norms and biases
};

// Number of values of a list, without the arenas' padding.
std::int64_t parameter_count(const std::vector<ParameterSpec>&);

class ParameterSet {
 public:
  struct Parameter {
    ParameterSpec spec;
    std::int64_t offset = 0;  // first element in the arenas
    Tensor value;             // f32 master, a leaf that requires a gradient; as(dtype) gives the compute copy
  };

  // compute = bf16 keeps a bf16 copy of every parameter beside the masters.
  ParameterSet(Context&, std::vector<ParameterSpec>, DType compute = DType::f32);

  const std::vector<Parameter>& all() const { return parameters_; }
  const Tensor& operator[](const std::string& name) const;  // throws for an unknown name
  bool contains(const std::string& name) const { return by_name_.count(name) > 0; }
  Context& context() const { return ctx_; }

  // Arenas [n]; padding between parameters is zero in all of them and stays so.
  const Tensor& values() const { return values_; }
  const Tensor& gradients() const { return gradients_; }
  const Tensor& compute_copies() const { return compute_; }  // empty when the compute type is f32
  std::int64_t arena_size() const { return values_.numel(); }

  // Draws every value from (seed, parameter name): independent of order and of the other parameters.
  void initialise(std::uint64_t seed);
  void refresh_compute_copies();  // after the masters changed by anything but the optimiser
  void zero_grad();               // forgets all gradients: the next backward writes
  void complete_gradients();      // zero-fills what the last backward did not reach, before the optimiser reads the arena
  std::vector<kernels::ElementRange> ranges_without_decay() const;  // norms and biases, in the arenas

 private:
  Context& ctx_;
  std::vector<Parameter> parameters_;
  std::map<std::string, std::size_t> by_name_;
  Tensor values_, gradients_, compute_;
};

}  // namespace bonafide
