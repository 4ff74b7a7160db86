// tests/host/test_torch_face_networks.cpp — MTCNN's networks and InceptionResnetV1 with the formula's weights against
// facenet-pytorch in float64 (tests/reference/make_face_networks.py).
#include "engine/host_values.h"
#include "tests/support/formula_faces.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// Image i is formula_image("NAME.i", i % 2), its bytes less 127.5, over 128.
Tensor batch(Context& ctx, const std::string& name, int n, int height, int width) {
  std::vector<float> x;
  for (int i = 0; i < n; ++i)
    for (const std::uint8_t v : formula_image(str(name, ".", i), i % 2, height, width)) x.push_back((float(v) - 127.5f) / 128);
  return Tensor::from_host(ctx, {n, height, width, 3}, x);
}

void same_list(const std::vector<ParameterSpec>& ours, const nlohmann::json& theirs) {
  REQUIRE(ours.size() == theirs.size());
  for (std::size_t i = 0; i < ours.size(); ++i) {
    CHECK(ours[i].name == theirs[i][0].get<std::string>());
    CHECK_MESSAGE(dims(ours[i].shape) == theirs[i][1].get<std::vector<std::int64_t>>(), ours[i].name);
  }
}

template <class Net>
void compare(const nlohmann::json& all, const std::string& net, std::vector<ParameterSpec> specs) {
  Context ctx;
  ParameterSet set(ctx, std::move(specs));
  load_face_formula(set);
  const Net network(set);
  int cases = 0;
  for (const auto& [name, want] : all.items()) {
    if (!name.starts_with(net + ".") || name.ends_with(".parameters")) continue;
    ++cases;
    const Tensor y = network(batch(ctx, name, want["shape"][0], want["shape"][1], want["shape"][2]));
    REQUIRE(y.shape()[-1] == Net::kAnswers);
    const std::vector<float> v = y.to_host();
    std::vector<float> faces, moves;
    for (std::size_t i = 0; i < v.size(); i += Net::kAnswers) {
      faces.push_back(float(1 / (1 + std::exp(double(v[i]) - double(v[i + 1])))));
      moves.insert(moves.end(), v.begin() + std::ptrdiff_t(i) + 2, v.begin() + std::ptrdiff_t(i) + Net::kAnswers);
    }
    expect_close(name + " probability", faces, numbers(want["probability"]), 1e-5, 1e-5);
    expect_close(name + " moves", moves, numbers(want["moves"]), 1e-5, 1e-5);
  }
  CHECK(cases > 0);
}

}  // namespace

TEST_CASE("faces: MTCNN's networks have the published names and shapes") {
  const auto want = fixture("face_networks.json")["mtcnn"];
  same_list(pnet_parameters(), want["pnet.parameters"]);
  same_list(rnet_parameters(), want["rnet.parameters"]);
  same_list(onet_parameters(), want["onet.parameters"]);
  CHECK(parameter_count(pnet_parameters()) == 6632);
  CHECK(parameter_count(rnet_parameters()) == 100178);
  CHECK(parameter_count(onet_parameters()) == 389040);
}

TEST_CASE("faces: MTCNN's networks compute what facenet-pytorch's compute") {
  const auto want = fixture("face_networks.json")["mtcnn"];
  compare<PNet>(want, "pnet", pnet_parameters());
  compare<RNet>(want, "rnet", rnet_parameters());
  compare<ONet>(want, "onet", onet_parameters());
}

TEST_CASE("faces: PNet in bands of rows is PNet of the whole, for even and odd sides") {
  Context ctx;
  ParameterSet set(ctx, pnet_parameters());
  load_face_formula(set);
  const PNet net(set);
  for (const int height : {40, 41, 53}) {  // bands of 7 rows leave one over: of 12 pixels, of 11
    const int width = 29;
    const Tensor x = batch(ctx, "bands", 1, height, width);
    const Tensor whole = net(x);
    const std::int64_t rows = PNet::cells(height), columns = PNet::cells(width);
    REQUIRE(whole.shape() == Shape({1, rows, columns, 6}));
    const auto all = whole.to_host();
    for (std::int64_t first = 0; first < rows; first += 7) {
      const std::int64_t band = std::min<std::int64_t>(7, rows - first), top = 2 * first;
      const std::int64_t pixels = first + band == rows ? height - top : 2 * band + 10;
      const Tensor part = Tensor::view(x, top * width * 3, {1, pixels, width, 3});
      const auto y = net(part).to_host();
      REQUIRE(std::int64_t(y.size()) == band * columns * 6);
      expect_close("band", y, std::vector<double>(all.begin() + first * columns * 6, all.begin() + (first + band) * columns * 6), 1e-6, 1e-6);
    }
  }
  expect_throw("sides of at least 11", [&] { net(batch(ctx, "x", 1, 10, 30)); });
  CHECK(PNet::cells(10) == 0);
  CHECK(PNet::cells(11) == 1);
  CHECK(PNet::cells(12) == 1);
  CHECK(PNet::cells(13) == 2);
  CHECK(PNet::cells(14) == 2);
}

TEST_CASE("faces: RNet and ONet take windows of one size alone") {
  Context ctx;
  ParameterSet r(ctx, rnet_parameters()), o(ctx, onet_parameters());
  load_face_formula(r), load_face_formula(o);
  const RNet rnet(r);
  const ONet onet(o);
  expect_throw("RNet: x [1, 24, 25, 3], expected [N, 24, 24, 3]", [&] { rnet(batch(ctx, "x", 1, 24, 25)); });
  expect_throw("ONet: x [1, 24, 24, 3], expected [N, 48, 48, 3]", [&] { onet(batch(ctx, "x", 1, 24, 24)); });
}

TEST_CASE("faces: InceptionResnetV1 has the published names, shapes and number of parameters") {
  const auto want = fixture("face_networks.json")["inception"];
  CHECK(parameter_count(inception_resnet_v1_parameters()) == 23'482'624);
  CHECK(want["parameters"] == 23'482'624);
  same_list(inception_resnet_v1_state(), want["state"]);
}

TEST_CASE("faces: InceptionResnetV1 computes what facenet-pytorch's computes, part by part, with batch norms folded and not") {
  const auto want = fixture("face_networks.json")["inception"];
  Context ctx;
  const NoGrad no_grad(ctx);
  ParameterSet set(ctx, inception_resnet_v1_state());
  load_face_formula(set);
  const Tensor x = batch(ctx, "inception", 2, 160, 160);
  std::vector<float> answers[2];
  for (const bool fold : {false, true}) {
    const InceptionResnetV1 net(set, {.fold_batch_norm = fold});
    for (const auto& [name, part] : want["parts"].items()) {
      if (fold && name != "repeat_1" && name != "last_bn") continue;
      const Tensor y = net.until(name, x);
      CHECK_MESSAGE(dims(y.shape()) == part["shape"].get<std::vector<std::int64_t>>(), name);
      const auto values = y.to_host();
      std::vector<float> samples;
      for (std::int64_t j = 0; j < 64; ++j) samples.push_back(values[std::size_t(formula_sample(name, j, y.numel()))]);
      expect_close(name, samples, numbers(part["samples"]), 2e-5, 2e-5);
    }
    answers[fold] = net(x).to_host();
    expect_close("embedding", answers[fold], numbers(want["embedding"]), 2e-6, 2e-6);
  }
  expect_close("folded", answers[1], std::vector<double>(answers[0].begin(), answers[0].end()), 1e-6, 1e-6);
  CHECK(answers[0] != answers[1]);  // the switch does something
  const InceptionResnetV1 net(set);
  expect_throw("InceptionResnetV1 has no part 'block9'", [&] { net.until("block9", x); });
  expect_throw("sides of at least 75", [&] { net(batch(ctx, "x", 1, 74, 160)); });
}

TEST_CASE("faces: a file of InceptionResnetV1 is taken without its classifier; what is missing or too much is listed") {
  const TempFolder folder;
  Context ctx;
  ParameterSet set(ctx, inception_resnet_v1_state()), loaded(ctx, inception_resnet_v1_state());
  load_face_formula(set);
  std::vector<StoredArray> arrays = stored_parameters(set);
  const std::vector<float> one{1};
  const auto extra = [&](const std::string& name) { return stored_array<float>(name, {1}, one); };
  arrays.push_back(extra("logits.weight")), arrays.push_back(extra("logits.bias"));
  arrays.push_back(extra("last_bn.num_batches_tracked")), arrays.push_back(extra("repeat_2.9.branch1.2.bn.num_batches_tracked"));
  write_safetensors(folder / "good.safetensors", arrays);
  load_inception_resnet_v1(loaded, WeightFile(folder / "good.safetensors"));
  CHECK(HostValues(loaded.values()).span()[12345] == HostValues(set.values()).span()[12345]);
  CHECK(loaded["last_bn.running_var"].to_host() == set["last_bn.running_var"].to_host());

  arrays.push_back(extra("logit.weight"));  // all that is needed and one thing more: another network's file
  write_safetensors(folder / "more.safetensors", arrays);
  expect_throw("1 unexpected: logit.weight", [&] { load_inception_resnet_v1(loaded, WeightFile(folder / "more.safetensors")); });

  arrays.erase(arrays.begin() + 7);
  write_safetensors(folder / "bad.safetensors", arrays);
  const std::string name = inception_resnet_v1_state()[7].name;
  expect_throw("not the weights of InceptionResnetV1: ", [&] { load_inception_resnet_v1(loaded, WeightFile(folder / "bad.safetensors")); });
  expect_throw("1 missing: " + name, [&] { load_inception_resnet_v1(loaded, WeightFile(folder / "bad.safetensors")); });
  expect_throw("1 unexpected: logit.weight", [&] { load_inception_resnet_v1(loaded, WeightFile(folder / "bad.safetensors")); });
}
