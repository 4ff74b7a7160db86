// kernels/emulator/memory.h — what the emulator knows of every element of memory: who wrote it last, who read it since.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "kernels/simt/block.h"

namespace bonafide::simt {

// Who asks: a thread at a point in time. Time is a counter that every barrier moves on. What was done in this block
// before `block_barrier` is behind a barrier of the block; what a lane of the same warp did before its entry in `lanes`
// is behind a barrier of the warp.
struct Moment {
  int block = 0, thread = 0;
  std::uint64_t now = 0, block_barrier = 0;
  const std::array<std::uint64_t, kWarp>* lanes = nullptr;
};

class Memory {
 public:
  // Arrays may overlap: they then share what is known. Shared arrays begin unwritten.
  void add(std::string name, const void* begin, std::int64_t count, int element_bytes, bool shared);
  void remove_shared();  // at the end of a block
  bool is_shared(const void* p) const;

  // Empty if the access is all right, else what is wrong with it, in words that follow "thread ...: ".
  std::string read(const Moment& m, const void* base, std::int64_t length, std::int64_t i, int count,
                   int element_bytes);
  std::string write(const Moment& m, const void* base, std::int64_t length, std::int64_t i, int count,
                    int element_bytes);

 private:
  struct Access {
    int block = -1, thread = -1;
    std::uint64_t time = 0;
  };
  struct Cell {
    Access writer;
    int earlier_reader = -1;      // a block that read it and has ended
    std::vector<Access> readers;  // in the running block, since its last barrier
  };
  struct Array {
    std::string name;
    const char *begin, *end;
    int element_bytes;
    bool shared;
  };
  struct Region {  // overlapping arrays
    const char *begin, *end;
    int cell_bytes;
    bool shared;
    std::vector<Cell> cells;
  };

  static bool ordered(const Access& then, const Moment& m);
  std::string element(const void* base, std::int64_t i, int element_bytes) const;
  std::string check_place(const char* verb, const void* base, std::int64_t length, std::int64_t i, int count,
                          int element_bytes, Region*& region) const;

  std::deque<Array> arrays_;
  mutable std::deque<Region> regions_;
};

}  // namespace bonafide::simt
