// data/nearest.cpp — see nearest.h.
#include "data/nearest.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "engine/host_values.h"
#include "engine/parallel.h"
#include "layers/functional/linear.h"

namespace bonafide {
namespace {

// What a query keeps while the blocks go by: everything that may still be among its k nearest.
class Shortlist {
 public:
  // s[j] approximates the similarity of base row first + j within `slack` / 2. The k-th of the greatest values of short runs
  // is no more than the k-th best of all: most runs are never looked into.
  void scan(const float* s, std::int64_t n, std::int64_t first, std::int64_t k, float slack, std::vector<float>& work) {
    constexpr std::int64_t kRun = 16;
    const std::int64_t runs = ceil_div(n, kRun);
    work.resize(std::size_t(2 * runs));
    float *const greatest = work.data(), *const sorted = greatest + runs;
    float top = -std::numeric_limits<float>::infinity();
    for (std::int64_t r = 0; r < runs; ++r) {
      const float* run = s + r * kRun;
      const std::int64_t length = std::min(kRun, n - r * kRun);
      float most = run[0];
#pragma omp simd reduction(max : most)
      for (std::int64_t j = 1; j < length; ++j) most = run[j] > most ? run[j] : most;
      greatest[r] = most;
      top = std::max(top, most);
    }
    if (top < floor_) return;
    if (k == 1) {
      floor_ = std::max(floor_, top - slack);
    } else if (k <= runs) {
      std::copy(greatest, greatest + runs, sorted);
      std::nth_element(sorted, sorted + (k - 1), sorted + runs, std::greater<>());
      floor_ = std::max(floor_, sorted[k - 1] - slack);
    }
    for (std::int64_t r = 0; r < runs; ++r) {
      if (greatest[r] < floor_) continue;
      for (std::int64_t j = r * kRun; j < std::min(n, (r + 1) * kRun); ++j)
        if (s[j] >= floor_) entries_.push_back({s[j], first + j});
    }
    if (std::int64_t(entries_.size()) > limit_) prune(k, slack);
  }

  // Leaves the indices that are left, ascending.
  void finish(std::int64_t k, float slack, std::vector<std::int64_t>& indices) {
    prune(k, slack);
    indices.clear();
    for (const Entry& e : entries_) indices.push_back(e.index);
    std::sort(indices.begin(), indices.end());
  }

 private:
  struct Entry {
    float score;
    std::int64_t index;
  };
  void prune(std::int64_t k, float slack) {
    if (std::int64_t(entries_.size()) > k) {
      const auto kth = entries_.begin() + (k - 1);
      std::nth_element(entries_.begin(), kth, entries_.end(), [](const Entry& a, const Entry& b) { return a.score > b.score; });
      floor_ = std::max(floor_, kth->score - slack);
      std::erase_if(entries_, [&](const Entry& e) { return e.score < floor_; });
    }
    limit_ = 2 * std::int64_t(entries_.size()) + 64;
  }

  std::vector<Entry> entries_;
  float floor_ = -std::numeric_limits<float>::infinity();
  std::int64_t limit_ = 64;
};

// Rows [begin, begin + n) of the set, each of length 1 after rounding to f32.
Tensor prepared(Context& ctx, const VectorSet& set, std::int64_t begin, std::int64_t n) {
  std::vector<float> block(static_cast<std::size_t>(n * set.dimension));
  parallel_ranges(n, 64, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t i = from; i < to; ++i) {
      float* v = block.data() + i * set.dimension;
      set.copy(begin + i, v);
      double squared = 0;
#pragma omp simd reduction(+ : squared)
      for (std::int64_t c = 0; c < set.dimension; ++c) squared += double(v[c]) * double(v[c]);
      const double scale = 1 / std::sqrt(squared);
      for (std::int64_t c = 0; c < set.dimension; ++c) v[c] = float(double(v[c]) * scale);
    }
  });
  return Tensor::from_host(ctx, {n, set.dimension}, block, DType::f32, "embeddings");
}

}  // namespace

double cosine(Span<const float> a, Span<const float> b) {
  BF_CHECK(a.len == b.len, "vectors of ", a.len, " and ", b.len, " values");
  double ab = 0, aa = 0, bb = 0;
  for (std::int64_t i = 0; i < a.len; ++i) {
    const double x = double(a.ptr[i]), y = double(b.ptr[i]);  // products of two floats are exact in f64
    ab += x * y, aa += x * x, bb += y * y;
  }
  return std::min(1.0, ab / std::sqrt(aa * bb));
}

void VectorSet::copy(std::int64_t i, float* to) const {
  std::memcpy(to, bytes.data() + std::size_t(rows[std::size_t(i)] * dimension) * 4, std::size_t(dimension) * 4);
}

NearestSearch::NearestSearch(Context& ctx, VectorSet base, std::int64_t k, NearestOptions options)
    : ctx_(ctx), base_(std::move(base)), k_(k), options_(std::move(options)) {
  BF_CHECK(k > 0 && base_.dimension > 0, "k ", k, ", dimension ", base_.dimension);
  block_rows_ = std::min(base_.size(), options_.base_block > 0 ? options_.base_block : ctx.on_gpu() ? 8192 : 1024);
}

Tensor NearestSearch::base_block(std::int64_t block) {
  const std::int64_t first = block * block_rows_, n = std::min(block_rows_, base_.size() - first);
  if (base_.size() * base_.dimension * 4 > options_.resident_bytes) return prepared(ctx_, base_, first, n);
  if (std::int64_t(resident_.size()) <= block) resident_.push_back(prepared(ctx_, base_, first, n));
  return resident_[std::size_t(block)];
}

std::vector<Neighbour> NearestSearch::find(const VectorSet& queries) {
  const std::int64_t d = base_.dimension, k = k_;
  BF_CHECK(queries.dimension == d, "dimensions ", queries.dimension, " and ", d);
  std::vector<Neighbour> all(static_cast<std::size_t>(queries.size() * k));
  if (!queries.size() || !base_.size()) return all;
  const NoGrad no_grad(ctx_);
  const std::int64_t query_block =
      std::min(queries.size(), options_.query_block > 0 ? options_.query_block : ctx_.on_gpu() ? 8192 : 2048);
  const std::int64_t base_blocks = ceil_div(base_.size(), block_rows_);
  const float slack = 2 * float(d + 8) * 0x1p-24f;

  for (std::int64_t q0 = 0; q0 < queries.size(); q0 += query_block) {
    const std::int64_t nq = std::min(query_block, queries.size() - q0);
    const Tensor x = prepared(ctx_, queries, q0, nq);
    std::vector<Shortlist> lists(static_cast<std::size_t>(nq));
    for (std::int64_t block = 0; block < base_blocks; ++block) {
      const Tensor w = base_block(block);
      const std::int64_t n = w.shape()[0];
      const HostValues scores(fn::linear(x, w));
      parallel_ranges(nq, 16, [&](std::int64_t from, std::int64_t to) {
        std::vector<float> work;
        for (std::int64_t i = from; i < to; ++i)
          lists[std::size_t(i)].scan(scores.span().ptr + i * n, n, block * block_rows_, k, slack, work);
      });
      if (options_.progress)
        options_.progress((double(q0) + double(nq) * double(block + 1) / double(base_blocks)) / double(queries.size()));
    }
    parallel_ranges(nq, 16, [&](std::int64_t from, std::int64_t to) {
      std::vector<float> a(static_cast<std::size_t>(d)), b(a);
      std::vector<std::int64_t> indices;
      std::vector<Neighbour> found;
      for (std::int64_t i = from; i < to; ++i) {
        lists[std::size_t(i)].finish(k, slack, indices);
        queries.copy(q0 + i, a.data());
        found.clear();
        for (const std::int64_t j : indices) {
          base_.copy(j, b.data());
          found.push_back({j, cosine(a, b)});
        }
        std::stable_sort(found.begin(), found.end(),
                         [](const Neighbour& l, const Neighbour& r) { return l.similarity > r.similarity; });
        found.resize(std::size_t(k));
        std::copy(found.begin(), found.end(), all.begin() + (q0 + i) * k);
      }
    });
  }
  return all;
}

std::vector<Neighbour> nearest(Context& ctx, const VectorSet& queries, const VectorSet& base, std::int64_t k,
                               const NearestOptions& options) {
  return NearestSearch(ctx, base, k, options).find(queries);
}

}  // namespace bonafide
