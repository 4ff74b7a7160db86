// data/images/probe.h — what a check of the data wants to know of image files.
#pragma once
#include "data/image_probe.h"

namespace bonafide {

// Files below `root`, as FileImageSource (data/images/decode.h).
class FileImageProbe final : public ImageProbe {
 public:
  explicit FileImageProbe(std::string root) : root_(std::move(root)) {}
  bool there(const std::string& filename) const override;
  ImageFacts probe(const std::string& filename, const Box& face, bool decode) const override;

 private:
  std::string root_;
};

}  // namespace bonafide
