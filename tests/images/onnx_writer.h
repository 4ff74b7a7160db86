// tests/images/onnx_writer.h — ONNX files of tiny networks with known answers, written by hand: protocol buffers are numbers
// and lengths.
#pragma once
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "engine/base.h"

namespace bonafide::test {

class Message {
 public:
  Message& number(int field, std::uint64_t v) { return varint(std::uint64_t(field) << 3), varint(v), *this; }
  Message& text(int field, const std::string& v) { return varint(std::uint64_t(field) << 3 | 2), varint(v.size()), bytes += v, *this; }
  Message& message(int field, const Message& m) { return text(field, m.bytes); }
  std::string bytes;

 private:
  void varint(std::uint64_t v) {
    for (; v >= 128; v >>= 7) bytes += char(v | 128);
    bytes += char(v);
  }
};

inline Message onnx_value(const std::string& name, const std::vector<int>& shape) {
  Message dims;
  for (const int n : shape) dims.message(1, Message().number(1, std::uint64_t(n)));
  return Message().text(1, name).message(2, Message().message(1, Message().number(1, 1).message(2, dims)));
}
template <class T>
Message onnx_constant(const std::string& name, const std::vector<int>& shape, const std::vector<T>& values) {
  Message m;
  for (const int n : shape) m.number(1, std::uint64_t(n));
  m.number(2, std::is_same_v<T, float> ? 1 : 7).text(8, name);
  return m.text(9, std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)));
}
inline Message onnx_node(const std::string& operation, const std::vector<std::string>& inputs, const std::string& output) {
  Message m;
  for (const std::string& i : inputs) m.text(1, i);
  return m.text(2, output).text(4, operation);
}
// x w^T + b, as PyTorch exports it.
inline Message onnx_linear(const std::string& x, const std::string& w, const std::string& b, const std::string& output) {
  return onnx_node("Gemm", {x, w, b}, output).message(5, Message().text(1, "transB").number(3, 1).number(20, 2));
}
inline std::string onnx_model(Message graph) {
  return Message().number(1, 7).message(7, graph.text(2, "test")).message(8, Message().text(1, "").number(2, 11)).bytes;
}

// [1, 3, 112, 112] to `dimension` numbers: the means of the three channels, then 10, 11, …
inline std::string onnx_embedder(int dimension) {
  std::vector<float> weight(std::size_t(3 * dimension)), bias(static_cast<std::size_t>(dimension));
  for (int i = 0; i < dimension; ++i)
    if (i < 3)
      weight[std::size_t(3 * i + i)] = 1;
    else
      bias[std::size_t(i)] = float(7 + i);
  return onnx_model(Message()
                        .message(1, onnx_node("GlobalAveragePool", {"input"}, "mean"))
                        .message(1, onnx_node("Flatten", {"mean"}, "flat"))
                        .message(1, onnx_linear("flat", "weight", "bias", "output"))
                        .message(5, onnx_constant<float>("weight", {dimension, 3}, weight))
                        .message(5, onnx_constant<float>("bias", {dimension}, bias))
                        .message(11, onnx_value("input", {1, 3, 112, 112}))
                        .message(12, onnx_value("output", {1, dimension})));
}

// YuNet's outputs (loc, conf, iou) for images of side x side, the same whatever the image: these priors have this score and
// this move; their landmark k is moved by (k, -k).
struct YunetPrior {
  int index;
  float score;
  std::array<float, 4> loc;
};
inline std::string onnx_yunet(int side, const std::vector<YunetPrior>& sure) {
  int priors = 0;
  for (const auto& [stride, sizes] : {std::pair{8, 3}, {16, 2}, {32, 2}, {64, 3}}) priors += (side / stride) * (side / stride) * sizes;
  std::vector<float> loc(std::size_t(14 * priors)), conf(std::size_t(2 * priors)), iou(std::size_t(priors), 1.0f);
  for (const YunetPrior& p : sure) {
    for (int i = 0; i < 4; ++i) loc[std::size_t(14 * p.index + i)] = p.loc[std::size_t(i)];
    for (int k = 0; k < 5; ++k) loc[std::size_t(14 * p.index + 4 + 2 * k)] = float(k), loc[std::size_t(14 * p.index + 5 + 2 * k)] = float(-k);
    conf[std::size_t(2 * p.index + 1)] = p.score * p.score;  // the score is the root of conf times iou
  }
  Message graph;
  graph.message(1, onnx_node("GlobalAveragePool", {"input"}, "mean")).message(1, onnx_node("Flatten", {"mean"}, "flat"));
  for (const auto& [name, columns, values] : {std::tuple{std::string("loc"), 14, loc}, {"conf", 2, conf}, {"iou", 1, iou}}) {
    const int all = priors * columns;
    graph.message(1, onnx_linear("flat", name + "_weight", name + "_bias", name + "_flat"))
        .message(1, onnx_node("Reshape", {name + "_flat", name + "_shape"}, name))
        .message(5, onnx_constant<float>(name + "_weight", {all, 3}, std::vector<float>(std::size_t(3 * all))))
        .message(5, onnx_constant<float>(name + "_bias", {all}, values))
        .message(5, onnx_constant<std::int64_t>(name + "_shape", {3}, {1, priors, columns}))
        .message(12, onnx_value(name, {1, priors, columns}));
  }
  return onnx_model(graph.message(11, onnx_value("input", {1, 3, side, side})));
}

}  // namespace bonafide::test
