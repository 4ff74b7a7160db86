// data/image.h — a decoded photograph and a face box in it.
#pragma once
#include <cstdint>

#include "engine/base.h"
#include "engine/uninitialized.h"

namespace bonafide {

// 8-bit, interleaved, row-major, RGB. Decoders convert grey, 16-bit, CMYK and alpha on the way in.
struct Image {
  int height = 0, width = 0;
  UninitializedVector<std::uint8_t> pixels;  // height * width * 3
  // Where it is only a part of a photograph (data/packed.h): its upper left corner there, and the photograph's size. Boxes
  // are in the photograph's pixels all the same.
  struct Part {
    int x = 0, y = 0, height = 0, width = 0;
  };
  Part part;  // width 0: this is the whole photograph
  bool whole() const { return part.width == 0; }

  Image() = default;
  Image(int h, int w) : height(h), width(w), pixels(std::size_t(h) * std::size_t(w) * 3, std::uint8_t(0)) {}  // black
  static Image uninitialized(int h, int w) {  // for a caller that writes every pixel
    Image i;
    i.height = h, i.width = w;
    i.pixels.resize(std::size_t(h) * std::size_t(w) * 3);
    return i;
  }
  std::uint8_t* at(int y, int x) { return pixels.data() + (std::size_t(y) * std::size_t(width) + std::size_t(x)) * 3; }
  const std::uint8_t* at(int y, int x) const { return const_cast<Image*>(this)->at(y, x); }
  bool empty() const { return pixels.empty(); }
};

// Corners in pixels, x2 and y2 exclusive. The published files write -1 in all four for "no face found".
struct Box {
  float x1 = -1, y1 = -1, x2 = -1, y2 = -1;
  bool valid() const { return x1 >= 0 && y1 >= 0 && x2 > x1 && y2 > y1; }
};

}  // namespace bonafide
