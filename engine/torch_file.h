// engine/torch_file.h — PyTorch's own files (.pth, .pt, .bin): the tensors of a saved state dict, without PyTorch.
//
// Two formats of torch.save are read: zip (since PyTorch 1.6: ARCHIVE/data.pkl describes the tensors, ARCHIVE/data/KEY
// holds a storage's bytes) and the stream of pickles before it (magic number, protocol, system, the object, the list of
// storage keys, then each storage: its length as int64 and its bytes). The tar format of 2016 and big-endian files are
// refused, and so are whole pickled modules and TorchScript: they are programs, a state dict is data.
//
// Nothing in the file is called or imported (engine/pickle.h). Of all the functions a pickle may name, those that rebuild
// a tensor or an OrderedDict are understood; any other object (argparse.Namespace, numpy scalars, an optimizer's class)
// stays an inert placeholder, and an entry of the state dict that is no tensor is left out.
// Source: torch/serialization.py and torch/_utils.py of PyTorch 2.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base.h"

namespace bonafide {

// How a storage keeps its numbers, by the name of PyTorch's dtype.
enum class TorchType : std::uint8_t { float32, float64, float16, bfloat16, int8, int16, int32, int64, uint8, boolean };
std::int64_t size_of(TorchType);
const char* name_of(TorchType);

// A view of a storage: element (i, j, …) is number offset + i * strides[0] + j * strides[1] + … of it. Views may share a
// storage, be transposed, or repeat elements (stride 0); every element that the shape reaches lies inside the storage.
struct TorchTensor {
  std::string name;  // its key in the state dict, unchanged
  TorchType type = TorchType::float32;
  std::vector<std::int64_t> shape, strides;
  std::int64_t offset = 0;
  std::span<const std::byte> storage;

  std::int64_t numel() const;  // fits: checked when the file was read
  // Copies the elements in row-major order, converted to f32: bfloat16, float16, bool and integers up to 2^24 exactly,
  // wider ones rounded to nearest. `out` must have numel() elements.
  void read(Span<float> out) const;
};

// The tensors of one file, in the order of its state dict. Copies share the memory that the tensors point into.
//
// The state dict is the entry of the saved dict that training scripts use: state_dict_ema, model_ema, ema, state_dict,
// model_state_dict or model, in this order (averaged weights first, as timm does). Where there is none of them, it is the
// saved dict itself if it holds tensors, or its only entry that does; where it could be either, the file is refused.
//
// Throws an Error that begins with the file's name for everything that is not such a file. Memory is a small multiple of
// the file's size; a storage is inflated (from a deflated zip) only if a tensor of the state dict lies in it.
class TorchFile {
 public:
  explicit TorchFile(const std::filesystem::path& path);
  // The same from memory, which the caller keeps alive; `name` is what errors call it.
  TorchFile(std::span<const std::byte> bytes, const std::string& name);

  // Whether a file that starts like this is PyTorch's, of whatever format.
  static bool recognises(std::span<const std::byte> start);

  const std::filesystem::path& path() const { return path_; }
  const std::string& container() const { return container_; }  // key of the entry that was taken; empty: the object itself
  const std::vector<TorchTensor>& tensors() const { return tensors_; }

 private:
  void parse(std::span<const std::byte> bytes);

  std::filesystem::path path_;
  std::string container_;
  std::vector<TorchTensor> tensors_;
  std::shared_ptr<const void> mapping_, inflated_;
};

}  // namespace bonafide
