// tests/support/formula_faces.h — face networks with the formula's weights, as tests/reference/make_face_networks.py makes them.
#pragma once
#include <filesystem>

#include "engine/safetensors.h"
#include "layers/inception_resnet.h"
#include "layers/mtcnn.h"
#include "layers/weights.h"
#include "tests/support/formula_model.h"

namespace bonafide::test {

// `gain` is on the weights of the probabilities.
inline void load_face_formula(ParameterSet& set, float gain = 1) {
  for (const auto& p : set.all()) {
    const std::string& name = p.spec.name;
    const std::int64_t n = p.spec.shape.numel();
    std::vector<float> v = name.ends_with(".running_var")    ? formula(name, n, 0.5f, 1)
                           : name.ends_with(".running_mean") ? formula(name, n, 0.3f)
                           : name.starts_with("prelu")       ? formula(name, n, 0.25f, 0.25f)
                                                             : formula_parameter(name, dims(p.spec.shape));
    if (name == "conv4_1.weight" || name == "dense5_1.weight" || name == "dense6_1.weight")
      for (float& x : v) x *= gain;
    Tensor(p.value).copy_from_host(v);
  }
}

inline void write_weights(const std::filesystem::path& file, const ParameterSet& set) { write_safetensors(file, stored_parameters(set)); }

// A folder of MTCNN's three files.
inline void write_formula_mtcnn(const std::filesystem::path& folder, float gain = 1) {
  Context ctx;
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, std::vector<ParameterSpec> specs) {
    ParameterSet set(ctx, std::move(specs));
    load_face_formula(set, gain);
    write_weights(folder / (std::string(name) + ".safetensors"), set);
  };
  write("pnet", pnet_parameters()), write("rnet", rnet_parameters()), write("onet", onet_parameters());
}

inline void write_formula_inception(const std::filesystem::path& file) {
  Context ctx;
  ParameterSet set(ctx, inception_resnet_v1_state());
  load_face_formula(set);
  write_weights(file, set);
}

}  // namespace bonafide::test
