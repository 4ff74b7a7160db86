// tests/host/test_conv2d_pieces.cpp — pieces of convolutions by oneDNN (where the build has it) and by products of
// patches against double: bands that see zeros above, below or on both sides; the cache of plans is bounded.
#include "kernels/bounded_cache.h"
#include "kernels/conv2d/cudnn_conv.h"
#include "kernels/conv2d/patches.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
using namespace bonafide::kernels;

namespace {

struct Ref {
  std::vector<double> y, dx, dw;
};
template <class T>
Ref reference(const ConvPiece& s, const Buffer<T>& x, const Buffer<T>& w, const Buffer<float>& b, const Buffer<T>& dy) {
  const ConvFilter& f = s.filter;
  Ref r{std::vector<double>(std::size_t(dy.size())), std::vector<double>(std::size_t(x.size())),
        std::vector<double>(std::size_t(w.size()))};
  std::size_t at = 0;
  for (std::int64_t n = 0; n < s.images; ++n)
    for (std::int64_t i = 0; i < s.out_h; ++i)
      for (std::int64_t j = 0; j < s.out_w; ++j)
        for (std::int64_t o = 0; o < f.Cout; ++o, ++at) {
          r.y[at] = b[o];
          for (std::int64_t c = 0; c < f.in_group(); ++c)
            for (int u = 0; u < f.kernel_h; ++u)
              for (int v = 0; v < f.kernel_w; ++v) {
                const std::int64_t h = i * f.stride_h - s.top + u, k = j * f.stride_w - s.left + v;
                if (h < 0 || h >= s.in_h || k < 0 || k >= s.in_w) continue;
                const std::int64_t p = ((n * s.in_h + h) * s.in_w + k) * f.Cin + o / f.out_group() * f.in_group() + c;
                const std::int64_t q = ((o * f.in_group() + c) * f.kernel_h + u) * f.kernel_w + v;
                r.y[at] += x[p] * w[q];
                r.dx[std::size_t(p)] += dy[std::int64_t(at)] * w[q];
                r.dw[std::size_t(q)] += dy[std::int64_t(at)] * x[p];
              }
        }
  return r;
}

// By oneDNN or by patches.
struct Direct {
  template <class T>
  static std::int64_t bytes(ConvPass p, const ConvPiece& s) {
    return packed_bytes<T>(p, s);
  }
  template <class T>
  static void pack(ConvPass p, const ConvPiece& s, const T* w, void* to) {
    kernels::pack(p, s, w, to);
  }
  template <class... A>
  static void forward(const A&... a) {
    conv_forward(a...);
  }
  template <class... A>
  static void data(const A&... a) {
    conv_data(a...);
  }
  template <class... A>
  static void weight(const A&... a) {
    conv_weight(a...);
  }
};
struct Patches {
  template <class T>
  static std::int64_t bytes(ConvPass, const ConvPiece& s) {
    return patches::packed_bytes<T>(s.filter);
  }
  template <class T>
  static void pack(ConvPass, const ConvPiece& s, const T* w, void* to) {
    patches::pack(s.filter, w, to);
  }
  template <class... A>
  static void forward(const A&... a) {
    patches::conv_forward(a...);
  }
  template <class... A>
  static void data(const A&... a) {
    patches::conv_data(a...);
  }
  template <class... A>
  static void weight(const A&... a) {
    patches::conv_weight(a...);
  }
};

template <class By, class T>
void check_pieces(const char* by) {
  const ConvFilter plain{.Cin = 5, .Cout = 19, .groups = 1, .kernel_h = 3, .kernel_w = 4, .stride_h = 1, .stride_w = 1};
  const ConvFilter strided{
      .Cin = 12, .Cout = 6, .groups = 3, .kernel_h = 3, .kernel_w = 2, .stride_h = 2, .stride_w = 3};
  const ConvFilter deep{.Cin = 40, .Cout = 33, .groups = 1, .kernel_h = 3, .kernel_w = 3, .stride_h = 1, .stride_w = 2};
  // Inside, at the upper edge, at the lower, at both, several images; more rows of patches than are multiplied at once.
  const std::vector<ConvPiece> pieces = {
      {plain, 1, 6, 9, 4, 6, 0, 0},   {plain, 1, 5, 9, 4, 8, 1, 1},    {plain, 1, 5, 9, 4, 8, 0, 1},
      {plain, 1, 4, 9, 4, 8, 1, 1},   {plain, 3, 4, 5, 2, 2, 0, 0},    {strided, 2, 7, 8, 3, 3, 0, 1},
      {strided, 1, 8, 8, 4, 3, 1, 1}, {deep, 2, 20, 21, 20, 10, 1, 0}, {plain, 1, 40, 41, 38, 38, 0, 0}};
  for (const ConvPiece& s : pieces) {
    const ConvFilter& f = s.filter;
    const auto x = Buffer<T>::random(s.images * s.in_h * s.in_w * f.Cin, 1),
               w = Buffer<T>::random(f.Cout * f.terms(), 2), dy = Buffer<T>::random(s.pixels() * f.Cout, 3);
    const auto b = Buffer<float>::random(f.Cout, 4);
    const Ref want = reference(s, x, w, b, dy);
    const auto packed = [&](ConvPass pass) {
      Buffer<float> p((By::template bytes<T>(pass, s) + 3) / 4);
      By::template pack<T>(pass, s, w.cspan().ptr, p.span().ptr);
      p.check_guards("packed");
      return p;
    };
    const auto forward = packed(ConvPass::forward), data = packed(ConvPass::data);
    Buffer<T> y(s.pixels() * f.Cout);
    Buffer<float> dx(x.size()), dw(w.size());
    By::forward(s, x.cspan().ptr, static_cast<const void*>(forward.cspan().ptr), b.cspan().ptr, y.span().ptr);
    By::data(s, dy.cspan().ptr, static_cast<const void*>(data.cspan().ptr), dx.span().ptr);
    By::weight(s, dy.cspan().ptr, x.cspan().ptr, dw.span().ptr);
    const std::string at = str(by, ", ", f.Cin, " to ", f.Cout, ", ", s.in_h, " x ", s.in_w, ", ", s.top, " above: ");
    expect_close(at + "y", y, want.y, 1e-5 + storage_rtol<T>(), 4e-5);
    expect_close(at + "dx", dx, want.dx, 1e-5, 4e-5);
    expect_close(at + "dw", dw, want.dw, 1e-5, 1e-4);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("conv2d pieces: bands and images", T, float, bf16) {
  check_pieces<Direct, T>("direct");
  check_pieces<Patches, T>("patches");
}

TEST_CASE("conv2d pieces: runs cover everything once, in few sizes") {
  for (const std::int64_t n : {0, 1, 7, 8, 9, 100}) {
    std::int64_t at = 0;
    for_runs(n, 8, [&](std::int64_t first, std::int64_t count) {
      CHECK(first == at);
      CHECK((count == 8 || (count < 8 && (count & (count - 1)) == 0)));
      at += count;
    });
    CHECK(at == n);
  }
}

TEST_CASE_TEMPLATE("conv2d: a build without cuDNN leaves every pass to our own kernels", T, float, bf16) {
  if (cuda::has_cudnn()) return;
  const Conv2dShape s{.N = 1, .H = 3, .W = 3, .Cin = 1, .Cout = 1, .window = {3, 3}};
  Buffer<T> x(9, 1), w(9, 1), y(1, 1);
  Buffer<float> dw(9, 1);
  CHECK(!cuda::cudnn_forward<T>(s, {}, x.cspan(), w.cspan(), y.span(), {}));
  CHECK(!cuda::cudnn_data<T>(s, {}, y.cspan(), w.cspan(), x.span(), false, {}));
  CHECK(!cuda::cudnn_weight<T>(s, {}, y.cspan(), x.cspan(), dw.span(), {}));
}

TEST_CASE("bounded cache: makes once, forgets what was used longest ago, keeps what is in use alive") {
  BoundedCache<int, std::string> cache(2);
  int made = 0;
  const auto get = [&](int key) { return cache.get(key, [&] { return ++made, std::to_string(key); }); };
  const auto one = get(1);
  CHECK(*one == "1");
  get(2), get(1);
  CHECK(made == 2);
  get(3);  // 2 goes
  CHECK(cache.size() == 2);
  CHECK(get(1) == one);
  CHECK(made == 3);
  get(2);  // 3 goes
  CHECK(made == 4);
  CHECK(get(1) == one);
  get(3);
  CHECK(made == 5);
  CHECK(cache.size() == 2);
  CHECK_THROWS(cache.get(9, []() -> std::string { throw Error("cannot"); }));
  CHECK(cache.size() == 2);
  cache.clear();
  CHECK(cache.size() == 0);
  CHECK(*one == "1");
  get(4), get(5), get(6);  // 4 goes: nobody asked for it again
  made = 0, get(5), get(6);
  CHECK(made == 0);
}
