// data/nearest.h — the k nearest of many unit vectors to each of many others: exact, by blocks of a matrix product.
//
//   cosine(a, b) = (sum_i a_i b_i) / sqrt((sum_i a_i a_i) (sum_i b_i b_i))      in f64, i ascending, at most 1
//
// The answer is that of comparing every pair by this formula, the larger first and, of equals, the one with the smaller
// index first. It depends on nothing else: not on block sizes, threads or the device. A product in f32 comes first, on the
// CPU or a GPU; it is off by at most (d + 8) 2^-24 in whatever order it adds up, so that all which come within twice that of
// the k-th best (a handful) are compared by the formula. The matrix of all similarities is never there, a block of it is.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "engine/context.h"
#include "engine/tensor.h"

namespace bonafide {

double cosine(Span<const float> a, Span<const float> b);

// Some rows of an array of f32 vectors that lie in memory or in a mapped file (not necessarily aligned).
struct VectorSet {
  std::span<const std::byte> bytes;
  std::int64_t dimension = 0;
  std::vector<std::int64_t> rows;  // the set is these rows, in this order

  std::int64_t size() const { return std::int64_t(rows.size()); }
  void copy(std::int64_t i, float* to) const;  // the i-th of the set
};

struct Neighbour {
  std::int64_t index = -1;  // in `base`; -1: base has fewer than k
  double similarity = 0;
};

struct NearestOptions {
  std::int64_t query_block = 0, base_block = 0;       // rows of a block; 0: chosen for the device. Never change the result
  std::int64_t resident_bytes = std::int64_t(1) << 29;  // `base` stays prepared (on a GPU: uploaded) up to this size
  std::function<void(double share)> progress;         // of the work that is done, in (0, 1]
};

// Many searches in one base, which is prepared when it is first needed and stays so (resident_bytes): queries that come in
// several portions are answered as if they had come at once.
class NearestSearch {
 public:
  // The context must outlive it.
  NearestSearch(Context& ctx, VectorSet base, std::int64_t k, NearestOptions options = {});
  // [queries, k], row by row: the nearest first. Vectors are of unit length up to rounding.
  std::vector<Neighbour> find(const VectorSet& queries);

 private:
  Tensor base_block(std::int64_t block);

  Context& ctx_;
  const VectorSet base_;
  const std::int64_t k_;
  const NearestOptions options_;
  std::int64_t block_rows_ = 0;
  std::vector<Tensor> resident_;  // the first blocks of the base, as far as they have been needed
};

// All at once.
std::vector<Neighbour> nearest(Context&, const VectorSet& queries, const VectorSet& base, std::int64_t k,
                               const NearestOptions& options = {});

// What it has to do, without the comparisons by the formula.
constexpr Cost nearest_cost(std::int64_t queries, std::int64_t base, std::int64_t dimension) {
  return {4.0 * double(queries + base) * double(dimension), 0, 2.0 * double(queries) * double(base) * double(dimension)};
}

}  // namespace bonafide
