// tests/host/test_torch_file.cpp — files that torch.save wrote are read to the last element; hostile ones are refused.
#include "engine/torch_file.h"

#include "engine/files.h"
#include "layers/paired_model.h"
#include "layers/weights.h"
#include "tests/support/fixture.h"
#include "tests/support/formula_model.h"
#include "tests/support/pickles.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

std::string fixture_path(const std::string& name) { return std::string(BF_SOURCE_DIR) + "/tests/fixtures/torch/" + name; }

std::vector<float> values(const TorchTensor& t) {
  std::vector<float> v(std::size_t(t.numel()));
  t.read(v);
  return v;
}

// `bytes` must outlive what is read from its tensors.
TorchFile from_memory(const std::string& bytes) { return TorchFile(as_bytes(bytes), "hostile.pt"); }

void refuses(const std::string& bytes, const std::string& part) {
  expect_throw(part, [&] { from_memory(bytes); });
  expect_throw("hostile.pt: ", [&] { from_memory(bytes); });
}

// Reads everything that a file offers; an Error is an answer, too. `elements`: what a hostile shape may cost.
int read_all(const std::string& bytes, std::int64_t elements = 10000) {
  try {
    const TorchFile file = from_memory(bytes);
    for (const TorchTensor& t : file.tensors())
      if (t.numel() <= elements) values(t);
    return 1;
  } catch (const Error&) {
    return 0;
  }
}

}  // namespace

TEST_CASE("torch file: every format, dtype and view that torch.save writes") {
  const auto all = fixture("torch_files.json");
  for (const std::string name :
       {"dtypes_zip", "dtypes_stream", "views_zip", "views_stream", "views_protocol5", "views_deflated", "views_zip64",
        "views_unchecked", "checkpoint_zip", "checkpoint_stream", "checkpoint_protocol4"}) {
    CAPTURE(name);
    const auto& want = all[name.substr(0, name.find('_'))];
    const TorchFile file(fixture_path(name + ".pt"));
    CHECK(file.container() == (name == "checkpoint_zip" ? "state_dict" : name.starts_with("checkpoint") ? "state_dict_ema" : ""));
    CHECK(file.tensors().size() == want.size());
    for (const TorchTensor& t : file.tensors()) {
      CAPTURE(t.name);
      REQUIRE(want.contains(t.name));
      CHECK(t.shape == want[t.name]["shape"].get<std::vector<std::int64_t>>());
      std::vector<float> longer(std::size_t(t.numel()) + 1);
      expect_throw(str("expected ", longer.size()), [&] { t.read(longer); });
      CHECK(values(t) == want[t.name]["values"].get<std::vector<float>>());
      if (name.starts_with("dtypes")) CHECK(name_of(t.type) == t.name);
    }
  }
}

TEST_CASE("torch file: a checkpoint of the published system, with module., fills the model; the report is strict") {
  Context ctx;
  PairedModelConfig c;
  c.backbone = {.name = "small", .depths = {1, 1, 1, 1}, .dims = {4, 4, 8, 8}, .conv_mlp = false};
  c.projection = 4;
  PairedModel m(ctx, c);
  m.parameters().initialise(1);
  load_strict(m.parameters(), WeightFile(fixture_path("paired_stream.pt")));
  for (const auto& p : m.parameters().all())
    CHECK_MESSAGE(p.value.to_host() == formula_parameter(p.spec.name, dims(p.spec.shape)), p.spec.name);

  c.backbone.depths[2] = 2;
  PairedModel deeper(ctx, c);
  expect_throw("paired_stream.pt: does not fit this model: ", [&] { load_strict(deeper.parameters(), WeightFile(fixture_path("paired_stream.pt"))); });
  expect_throw("missing: backbone.stages.2.blocks.1.conv_dw.weight", [&] { load_strict(deeper.parameters(), WeightFile(fixture_path("paired_stream.pt"))); });
  expect_throw("checkpoint_zip.pt (state_dict): does not fit", [&] { load_strict(m.parameters(), WeightFile(fixture_path("checkpoint_zip.pt"))); });
  expect_throw("2 unexpected: w, b", [&] { load_strict(m.parameters(), WeightFile(fixture_path("checkpoint_zip.pt"))); });
  expect_throw("not the weights of this backbone", [&] { load_backbone(m.parameters(), WeightFile(fixture_path("views_zip.pt"))); });
}

TEST_CASE("torch file: the contents tell what a file is, not its name") {
  const TempFolder folder;
  CHECK(WeightFile(fixture_path("views_zip.pt")).entries().size() == 16);
  // A header of 128 + 2 * 256 bytes begins like a pickle of protocol 2.
  std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize(0x280, ' ');
  const WeightFile file(folder.file("weights.pth", std::string("\x80\x02\0\0\0\0\0\0", 8) + header + std::string("\0\0\x80\x3f", 4)));
  REQUIRE(file.entries().size() == 1);
  std::vector<float> x(1);
  file.read(0, x);
  CHECK(x[0] == 1);
  CHECK(file.description() == file.path().string());
  CHECK(WeightFile(fixture_path("checkpoint_stream.pt")).description().ends_with("checkpoint_stream.pt (state_dict_ema)"));
  std::string tar(600, '\0');
  tar.replace(257, 5, "ustar");
  expect_throw("tar format", [&] { WeightFile{folder.file("old.pth", tar)}; });
  expect_throw("holds a torch.nn.modules.linear.Linear, expected a state dict", [&] { WeightFile{fixture_path("module_zip.pt")}; });
  expect_throw("cannot open", [&] { WeightFile{folder / "absent.pth"}; });
  expect_throw("not a regular file", [&] { WeightFile{folder.path()}; });
  expect_throw("0 bytes are too few", [&] { WeightFile{folder.file("empty.pth", "")}; });
}

TEST_CASE("torch file: a pickle that calls os.system loads as data and calls nothing") {
  const TempFolder folder;
  const std::string flag = (folder / "called").string();
  const std::string call = global("os", "system") + text("touch " + flag) + "\x85R";
  // As a value among the weights, as a key's neighbour, as the tensor's own backward hooks, by every opcode that calls.
  for (const std::string& evil :
       {call, global("os", "system") + text("touch " + flag) + "\x85\x81", global("os", "system") + text("touch " + flag) + "\x85}\x92",
        text("os") + text("system") + "\x93" + text("touch " + flag) + "\x85R", call + "}" + text("a") + "K\x01sb", call + "K\x01" "a"}) {
    const std::string bytes = stream("}" + text("evil") + evil + "s" + text("w") + tensor("0", 2, {2}, {1}, 0, evil) + "s.", {{"0", floats({1, 2})}});
    const TorchFile f = from_memory(bytes);  // which points into them
    REQUIRE(f.tensors().size() == 1);
    CHECK(values(f.tensors()[0]) == std::vector<float>{1, 2});
  }
  refuses(stream(call + ".", {}), "holds a os.system, expected a state dict");
  refuses(stream("}" + text("w") + call + "s.", {}), "no tensors in it");
  refuses(stream("}" + text("w") + tensor("0", 2, {2}, {1}, 0, "N", call) + "s.", {}), "a storage of type ");
  CHECK(!std::filesystem::exists(flag));
}

TEST_CASE("torch file: tensors that reach out of their storage are refused by name") {
  const auto one = [](std::int64_t elements, std::vector<std::int64_t> shape, std::vector<std::int64_t> strides, std::int64_t offset = 0) {
    return stream("}" + text("w") + tensor("0", elements, shape, strides, offset) + "s.", {{"0", floats({1, 2, 3, 4, 5, 6})}});
  };
  CHECK(values(from_memory(one(6, {2, 3}, {3, 1})).tensors().at(0)) == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(values(from_memory(one(6, {2}, {2}, 3)).tensors().at(0)) == std::vector<float>{4, 6});
  CHECK(values(from_memory(one(6, {1, 2, 1}, {INT64_MAX, 5, INT64_MAX})).tensors().at(0)) == std::vector<float>{1, 6});
  CHECK(from_memory(one(6, {INT64_MAX}, {0})).tensors().at(0).numel() == INT64_MAX);  // costs nothing until it is read
  CHECK(values(from_memory(one(6, {0, 7}, {99, 99}, 50)).tensors().at(0)).empty());
  const std::string reach = "tensor 'w': shape ", out = " reach out of a storage of 6 elements";
  refuses(one(6, {2, 4}, {3, 1}), reach + "[2, 4], strides [3, 1] and offset 0" + out);
  refuses(one(6, {7}, {1}), out);
  refuses(one(6, {6}, {1}, 1), out);
  refuses(one(6, {}, {}, 6), out);
  refuses(one(6, {1}, {1}, -1), out);
  refuses(one(6, {-1}, {1}), out);
  refuses(one(6, {2}, {-1}, 5), out);
  refuses(one(6, {INT64_MAX, 4}, {0, 0}), out);
  refuses(one(6, {INT64_MAX, INT64_MAX, 0}, {1, 1, 1}), out);
  refuses(one(6, {2, 2}, {INT64_MAX, INT64_MAX}), out);
  refuses(one(6, {2}, {INT64_MAX}, INT64_MAX), out);
  refuses(one(6, {2}, {1, 1}), "shape [2] with strides [1, 1]");
  refuses(one(6, std::vector<std::int64_t>(17, 1), std::vector<std::int64_t>(17, 1)), "has 17 axes");
  // the storage itself
  refuses(one(7, {2}, {1}), "storage '0' has 6 elements, expected 7");
  refuses(one(-1, {2}, {1}), "storage '0': -1 elements");
  refuses(one(INT64_MAX, {2}, {1}), "storage '0': 9223372036854775807 elements");
  const std::string good = one(6, {2}, {1});
  refuses(good.substr(0, good.size() - 1), "truncated: storage '0' takes 24 bytes, 23 are left");
  refuses(good + "x", "1 bytes after the last storage");
  refuses(stream("}" + text("w") + tensor("0", 6, {2}, {1}) + "s.", {}), "storage '0' is not in the file");
  refuses(stream("}" + text("w") + tensor("0", 1, {1}, {1}) + "s.", {{"0", floats({1})}, {"1", floats({1})}}), "storage '1' is listed and used by no tensor");
  refuses(stream("}" + text("w") + tensor("0", 1, {1}, {1}) + "s.", {{"0", floats({1})}, {"0", floats({1})}}), "storage '0' is listed twice");
  refuses(stream("}" + text("w") + tensor("0", 1, {1}, {1}) + "s" + text("v") + tensor("0", 2, {1}, {1}) + "s.", {{"0", floats({1})}}), "described in two ways");
  refuses(stream("}" + text("w") + tensor("0", 1, {1}, {1}) + "s" + text("w") + tensor("0", 1, {1}, {1}) + "s.", {{"0", floats({1})}}), "tensor 'w' is there twice");
}

TEST_CASE("torch file: views of storages as PyTorch before 0.4 hands them out") {
  const auto one = [](const std::string& view, std::vector<std::int64_t> shape) {
    return stream("}" + text("w") + tensor("0", 6, shape, {1}, 0, "N", global("torch", "FloatStorage"), view) + "s.", {{"0", floats({1, 2, 3, 4, 5, 6})}});
  };
  CHECK(values(from_memory(one(text("v") + "K\x02K\x03\x87", {3})).tensors().at(0)) == std::vector<float>{3, 4, 5});
  refuses(one(text("v") + "K\x02K\x03\x87", {4}), "reach out of a storage of 3 elements");
  refuses(one(text("v") + "K\x04K\x03\x87", {1}), "elements 4 to 4 + 3 of 6");
  refuses(one(text("v") + "K\x04\x86", {1}), "a view of 2 entries");
}

TEST_CASE("torch file: which entry is the state dict") {
  const std::string w = tensor("0", 1, {1}, {1});
  const auto saved = [&](const std::string& object) { return stream(object + ".", {{"0", floats({1})}}); };
  const auto dict = [&](const std::string& key) { return text(key) + "}" + text("w") + w + "ss"; };
  CHECK(from_memory(saved("}" + dict("state_dict") + dict("ema"))).container() == "ema");
  CHECK(from_memory(saved("}" + dict("generator") + text("epoch") + "K\x01s")).container() == "generator");
  CHECK(from_memory(saved("}" + text("rng_state") + w + "s" + dict("model"))).container() == "model");
  CHECK(from_memory(saved("}" + text("w") + w + "s" + text("settings") + "}s")).container().empty());
  refuses(saved("}" + text("rng_state") + w + "s" + dict("net")), "which of its entries are the weights? net, or those beside them");
  refuses(saved("}" + dict("one") + dict("two")), "which of its entries are the weights? one, two");
  refuses(saved("]" + w + "a"), "holds a list, expected a state dict");
  refuses(stream("}.", {}), "no tensors in it");
  refuses(stream("}q\x01" + text("state_dict") + "h\x01s.", {}), "no tensors in it");  // a dict inside itself
}

TEST_CASE("torch file: one large dict under many keys is refused at once, not read again and again") {
  std::string entries, keys;
  for (int i = 0; i < 100'000; ++i) entries += "h\x02h\x03", keys += "h\x02h\x01";
  const std::string dict = "}q\x01(" + text("w") + "q\x02" + tensor("0", 1, {1}, {1}) + "q\x03" + entries + "u";
  refuses(stream("}(" + text("a") + dict + keys + "u.", {{"0", floats({1})}}), "holds the same dicts again and again");
}

TEST_CASE("torch file: the stream's own frame") {
  refuses("\x80\x02K\x01.", "not one of torch.save");
  refuses(magic() + "\x80\x02M\xea\x03.", "not protocol 1001");
  refuses(magic() + protocol() + "\x80\x02}" + text("little_endian") + "\x89s.", "big-endian");
  refuses(magic() + protocol(), "system: pickle: byte 0: truncated");
  refuses("PK\3\4", "too few for a zip archive");
  refuses("garbage!!", "not a file of torch.save");
}

TEST_CASE("torch file: cut off anywhere, or with any bit flipped, a file is refused or reads within its bounds") {
  for (const std::string name : {"views_zip", "views_stream", "views_deflated", "views_zip64", "checkpoint_protocol4"}) {
    CAPTURE(name);
    const std::string whole = read_file(fixture_path(name + ".pt"));
    CHECK(read_all(whole) == 1);
    int read = 0, silent = 0;
    for (std::size_t n = 0; n < whole.size(); ++n) read += read_all(whole.substr(0, n));
    CHECK(read == 0);
    for (std::size_t bit = 0; bit < whole.size() * 8; bit += 3) {
      std::string bent = whole;
      bent[bit / 8] = char(bent[bit / 8] ^ (1 << bit % 8));
      silent += read_all(bent);
    }
    MESSAGE(name, ": ", silent, " of ", whole.size() * 8 / 3, " flipped bits change no more than a value or a comment");
  }
}
