// tests/host/test_packed.cpp — packed photographs: the same bits of every crop as from the photographs, any number of workers,
// killed at any moment, and files that lie.
#include "data/packed.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "data/augment.h"
#include "data/image_probe.h"
#include "data/loader.h"
#include "data/pack.h"
#include "engine/digest.h"
#include "tests/support/lists.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

Image noise(int height, int width, std::uint64_t seed) {
  Random random(seed, "noise");
  Image image(height, width);
  for (std::uint8_t& p : image.pixels) p = std::uint8_t(random.u32());
  return image;
}

// Photographs in memory; others are not to be had.
struct Album final : ImageSource {
  Image load(const std::string& path) const override {
    ++loads;
    if (slow) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const auto it = photos.find(path);
    if (it == photos.end()) throw Error("/data/" + path + ": is empty (0 bytes)");
    return it->second;
  }
  std::map<std::string, Image> photos;
  mutable std::atomic<int> loads{0};
  bool slow = false;
};

// Boxes of every sort in a photograph of this size: inside, over each border, fractional, smaller than a pixel, beside it, none.
std::vector<Box> boxes(int width, int height) {
  const auto w = float(width), h = float(height);
  std::vector<Box> all{{w / 4, h / 4, w / 2, h / 2},         {0, 0, w, h},
                       {w - 9.5f, 3.25f, w + 4, 30},         {0.125f, h - 8.75f, 11, h + 2},
                       {35.5f, 35.5f, 85.5f, 85.5f},         {20.2f, 20.2f, 20.6f, 20.6f},
                       {21.9f, 21.9f, 22.3f, 22.3f},         {w + 5, 2, w + 20, 30},
                       {5, 5, 6, 40},                        {}};
  Random random(3, "boxes");
  for (int i = 0; i < 30; ++i) {
    const float x = random.uniform(0, w - 2), y = random.uniform(0, h - 2);
    all.push_back({x, y, x + random.uniform(0.1f, w / 2), y + random.uniform(0.1f, h / 2)});
  }
  return all;
}

// Pairs of drawn pictures with all these boxes.
struct Pairs {
  Album album;
  Manifest list;
  explicit Pairs(int height = 97, int width = 131) {
    ListBuilder b;
    int i = 0;
    for (const Box& box : boxes(width, height)) {
      const std::string genuine = str("p, \"", i, "\" é.jpg"), attack = str("a/", i, ".png");
      b.add(genuine, Label{}, {}, str("person", i / 2)).box = box;
      b.add(attack, i % 2 ? kReplay : kPrint, genuine, str("person", i / 2)).box = box;
      album.photos.emplace(genuine, noise(height, width, 2 * std::uint64_t(i)));
      album.photos.emplace(attack, noise(height, width, 2 * std::uint64_t(i) + 1));
      ++i;
    }
    list = std::move(b.manifest);
  }
};

PackPlan plan_in(const TempFolder& folder, double margin = 1.3) {
  return {.output = folder / "images.pack", .journal = folder / "pack.journal", .margin = margin, .command = "pack"};
}

PackResult pack(const PackPlan& plan, const std::vector<Manifest>& lists, const ImageSource& source, int workers = 2) {
  Packing packing(plan, pack_inputs(lists));
  const PackResult result = packing.run(source, {.workers = workers});
  if (result.complete) packing.finish();
  return result;
}

// A packed file of one 5 x 4 photograph kept whole and a part of another, as bytes.
std::string small_file() {
  const TempFolder folder;
  {
    PackedWriter writer(folder / "x", 1.5);
    writer.append({.filename = "a.png", .subject = "anna", .box = {}, .height = 4, .width = 5, .part = {0, 0, 4, 5}}, noise(4, 5, 1).pixels);
    writer.append({.filename = "b, é.png", .subject = "", .box = {10, 20, 12, 22.5f}, .height = 3, .width = 2, .part = {10, 20, 100, 200}}, noise(3, 2, 2).pixels);
    writer.commit();
  }
  return read_file(folder / "x");
}

// With the digest that its bytes should have: what a hostile file has.
std::string with_digest(std::string bytes) {
  std::uint64_t index_at = 0;
  std::memcpy(&index_at, bytes.data() + 32, 8);
  const std::string_view index = std::string_view(bytes).substr(std::min<std::size_t>(index_at, bytes.size()));
  const std::uint64_t digest = digest64(index, digest64(std::string_view(bytes).substr(0, 56)));
  std::memcpy(bytes.data() + 56, &digest, 8);
  return bytes;
}

template <class T>
std::string changed(std::string bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
  return with_digest(bytes);
}

}  // namespace

TEST_CASE("packed: what is kept holds every crop, at the pixel where the photograph has it") {
  for (const auto& [width, height] : {std::pair{131, 97}, {40, 300}, {23, 23}})
    for (const Box& box : boxes(width, height)) {
      CAPTURE(str(box.x1, " ", box.y1, " ", box.x2, " ", box.y2, " in ", width, " x ", height));
      const CropRect kept = kept_rect(box, 1.3, width, height);
      Image part(kept.height(), kept.width());
      part.part = {kept.x1, kept.y1, height, width};
      for (const double margin : {1.0, 1.1, double(1.1f), 1.2, double(1.2f), 1.25, 1.299, double(1.3f), 1.3}) {
        const CropRect want = crop_rect(box, margin, width, height), got = crop_rect(box, margin, part);
        CHECK(got == CropRect{want.x1 - kept.x1, want.y1 - kept.y1, want.x2 - kept.x1, want.y2 - kept.y1});
      }
    }
  // 1.1 * 50 / 2 is a little more than 27.5: taken from 60.5 the result rounds to 33, taken from 32.5 it stays below 5.
  const Box box{35.5f, 35.5f, 85.5f, 85.5f};
  Image part(65, 65);
  part.part = {28, 28, 97, 131};
  CHECK(crop_rect(box, 1.1, part) == CropRect{5, 5, 60, 60});
  CHECK(crop_rect({7.5f, 7.5f, 57.5f, 57.5f}, 1.1, 65, 65).x1 == 4);
  expect_throw("margin 1.5 takes the pixels from 23,23 to 98,97 of the photograph, of which only those from 28,28 to 93,93 are kept",
               [&] { crop_rect(box, 1.5, part); });
  for (const auto& [height, width] : {std::pair{59, 65}, {65, 59}}) {  // one pixel short, below and on the right
    Image cut(height, width);
    cut.part = part.part;
    expect_throw("are kept", [&] { crop_rect(box, 1.1, cut); });
  }
  Image enough(60, 60);
  enough.part = part.part;
  CHECK(crop_rect(box, 1.1, enough) == CropRect{5, 5, 60, 60});
  expect_throw("are kept", [&] { crop_rect(Box{}, 1.1, part); });
  expect_throw("are kept", [&] { crop_rect({60.2f, 60.2f, 60.4f, 60.4f}, 1.1, part); });  // less than a pixel: the whole photograph
}

TEST_CASE("packed: whole training and evaluation batches have the same bits as from the photographs") {
  const Pairs pairs;
  const TempFolder folder;
  const PackResult result = pack(plan_in(folder), {pairs.list}, pairs.album);
  CHECK(result.images == 80);
  const auto packed = std::make_shared<PackedImageSource>(folder / "images.pack");
  const auto photographs = std::make_shared<Album>();
  photographs->photos = pairs.album.photos;
  int parts = 0;
  for (const PackedImage& i : packed->file().images()) parts += !i.whole();
  CHECK(parts > 50);
  CHECK(parts < 80);

  PlanSettings s;
  s.batch_size = 6;
  s.epoch_fraction = 1;
  s.augment_genuine = [](Random& r) { return draw_augment(r, {.brightness_contrast_p = 0.5f, .hue_saturation_value_p = 0.5f}); };
  s.augment_attack = [](Random& r) { return draw_augment(r, {.jpeg_p = 0.1f}); };
  const auto manifest = std::make_shared<const Manifest>(pairs.list);
  const auto planner = std::make_shared<const BatchPlanner>(manifest, s);
  const auto training = [&](std::shared_ptr<const ImageSource> source, int workers) {
    LoaderSettings l{.height = 24, .width = 20, .workers = workers, .end_step = 20};
    return make_training_loader(planner, source, nullptr, sample_maker({}), l);
  };
  const auto evaluation = [&](std::shared_ptr<const ImageSource> source, int workers) {
    return make_evaluation_loader(manifest, 7, source, sample_maker({}), {.height = 24, .width = 20, .workers = workers});
  };
  const auto compare = [](Loader& a, Loader& b) {
    int batches = 0;
    for (; !a.done(); ++batches) {
      const Batch x = a.next(), y = b.next();
      CHECK(x.rows == y.rows);
      CHECK(x.labels == y.labels);
      CHECK(x.images == y.images);
    }
    CHECK(b.done());
    return batches;
  };
  for (const int workers : {0, 3}) {
    CHECK(compare(*training(photographs, 0), *training(packed, workers)) == 20);
    CHECK(compare(*evaluation(photographs, 0), *evaluation(packed, workers)) == 12);
  }
  // Nothing is cached on the way: the file is memory already.
  const auto loader = training(packed, 1);
  loader->next();
  CHECK(loader->stats().cache_bytes == 0);
}

TEST_CASE("packed: simulated attacks need whole photographs") {
  struct Simulator final : AttackSimulator {
    Result render(const Image& photo, const Box& face, const Image*, const Box&, const Label&, Random&) const override { return {photo, face}; }
    bool needs_donor(const Label&) const override { return false; }
  };
  ListBuilder b;
  Album album;
  for (int i = 0; i < 4; ++i) {
    b.add(str(i), Label{}, {}, str("person", i)).box = {10, 10, 20, 20};
    album.photos.emplace(str(i), noise(40, 40, std::uint64_t(i)));
  }
  PlanSettings s;
  s.batch_size = 2;
  s.simulate.on = true;
  s.simulate.species = {{kPrint, 1}};
  const auto planner = std::make_shared<const BatchPlanner>(std::make_shared<const Manifest>(b.manifest), s);
  const auto first = [&](double margin) {
    const TempFolder folder;
    pack(plan_in(folder, margin), {b.manifest}, album);
    LoaderSettings l{.height = 8, .width = 8, .workers = 0};
    return make_training_loader(planner, std::make_shared<PackedImageSource>(folder / "images.pack"), std::make_shared<Simulator>(), sample_maker({}), l)->next();
  };
  expect_throw("simulated attacks need whole photographs", [&] { first(1.3); });
  CHECK(first(0).rows.size() == 4);
}

TEST_CASE("packed: every number comes back; pixels that were changed are noticed when they are read") {
  const TempFolder folder;
  const std::string bytes = small_file();
  write_file_atomically(folder / "x", bytes);
  const PackedFile f(folder / "x");
  CHECK(f.margin() == 1.5);
  REQUIRE(f.images().size() == 2);
  CHECK(f.find("b, é.png") == 1);
  CHECK(f.find("b") == -1);
  const PackedImage& b = f.images()[1];
  CHECK(b.offset == 64 + 60);
  CHECK(b.part.x == 10);
  CHECK(b.part.y == 20);
  CHECK(b.part.height == 100);
  CHECK(b.part.width == 200);
  CHECK(b.box.y2 == 22.5f);
  CHECK(f.images()[0].subject == "anna");
  CHECK(!f.images()[0].box.valid());
  CHECK(f.load(0).whole());
  CHECK(f.load(0).pixels == noise(4, 5, 1).pixels);
  CHECK(!f.load(1).whole());
  CHECK(f.load(1).part.width == 200);
  CHECK(f.load(1).pixels == noise(3, 2, 2).pixels);
  CHECK(PackedFile::is_one(folder / "x"));
  CHECK(!PackedFile::is_one(folder / "y"));
  CHECK(!PackedFile::is_one(folder.path()));
  const PackedImageSource source(folder / "x");
  CHECK(source.load("b, é.png").width == 2);
  expect_throw("c.png: is not in ", [&] { source.load("c.png"); });

  std::string damaged = bytes;
  damaged[64 + 60 + 5] ^= 1;
  write_file_atomically(folder / "y", damaged);
  const PackedFile g(folder / "y");
  CHECK(g.load(0).pixels == noise(4, 5, 1).pixels);
  expect_throw("b, é.png: its pixels in ", [&] { g.load(1); });
  CHECK(g.digest() == f.digest());

  const PackedImageProbe probe(folder / "x");
  CHECK(probe.there("a.png"));
  CHECK(!probe.there("c.png"));
  const ImageFacts facts = probe.probe("b, é.png", {}, false);
  CHECK(facts.width == 200);
  CHECK(facts.height == 100);
  CHECK(facts.digest == b.digest);
  CHECK(probe.probe("a.png", {}, true).hash.has_value());
}

TEST_CASE("packed: a file that is cut short, damaged or lies is refused by name and reason") {
  const TempFolder folder;
  const auto refused = [&](const std::string& message, const std::string& bytes) {
    write_file_atomically(folder / "x", bytes);
    expect_throw("x: " + message, [&] { PackedFile f(folder / "x"); });
  };
  const std::string good = small_file();
  const std::size_t index = 64 + 60 + 18, b = index + 64;
  REQUIRE(with_digest(good) == good);
  refused("is no packed file", "");
  refused("is no packed file", "BONAPAC" + good.substr(7, 0) + "X");
  refused("is cut short: 20 bytes, the header alone has 64", good.substr(0, 20));
  refused(str("is cut short: ", good.size() - 1, " of ", good.size(), " bytes"), good.substr(0, good.size() - 1));
  refused(str("has ", good.size() + 1, " bytes and says it has ", good.size()), good + "x");
  refused("is packed in version 2; this program reads version 1", changed(good, 8, std::uint32_t(2)));
  refused("its index has 80 bytes an image, expected 64", changed(good, 12, std::uint32_t(80)));
  for (const std::uint64_t n : {std::uint64_t(3), std::uint64_t(1), ~std::uint64_t(0), std::uint64_t(1) << 58})
    refused("its index of ", changed(good, 16, n));
  for (const std::uint64_t at : {std::uint64_t(0), std::uint64_t(63), std::uint64_t(good.size() + 1), ~std::uint64_t(0)})
    refused("its index of 2 images does not fit into it", changed(good, 32, at));
  refused("its index of 2 images does not fit into it", changed(good, 40, ~std::uint64_t(0)));
  for (const double margin : {0.5, -1.0, std::nan(""), HUGE_VAL}) refused("says its margin is ", changed(good, 48, margin));
  std::string flipped = good;
  flipped[index + 30] ^= 4;
  refused("its index is damaged", flipped);

  refused("image 1 (b, é.png) begins at byte 64, expected 124", changed(good, b, std::uint64_t(64)));  // over the first one's
  refused("image 1 (b, é.png) begins at byte 125, expected 124", changed(good, b, std::uint64_t(125)));
  refused("image 0 (a.png) begins at byte 18446744073709551615, expected 64", changed(good, index, ~std::uint64_t(0)));
  refused("image 1 (b, é.png) reaches into the index", changed(good, b + 16, std::uint32_t(80)));
  refused("image 1 (b, é.png): its 2 x 81 pixels at 10,20 do not lie in a photograph of 200 x 100", changed(good, b + 16, std::uint32_t(81)));
  refused("image 1 (b, é.png): it has no size", changed(good, b + 20, std::uint32_t(0)));
  refused("image 1: a width of 4294967295", changed(good, b + 20, ~std::uint32_t(0)));
  refused("image 1: a corner of 134217729", changed(good, b + 24, std::uint32_t((1 << 27) + 1)));
  refused("image 1 (b, é.png): its 2 x 3 pixels at 199,20 do not lie", changed(good, b + 24, std::uint32_t(199)));
  refused("image 1 (b, é.png): a photograph of 134217728 x 100 pixels", changed(good, b + 36, std::uint32_t(1 << 27)));
  refused("has 6 bytes that belong to no image", changed(changed(good, b + 16, std::uint32_t(2)), 0, 'B'));
  refused("image 1 (b, é.png): its box is none", changed(good, b + 40, std::nanf("")));
  refused("image 1 (b, é.png): its box is none", changed(good, b + 48, 3.0f));  // x2 before x1
  refused("image 1: its name is longer than all names", changed(good, b + 56, std::uint32_t(5000)));
  refused("has 4 bytes of names that belong to no image", changed(good, index + 60, std::uint32_t(0)));
  refused("image 0 (): its name is empty or holds a control character", changed(good, index + 56, std::uint32_t(0)));
  refused("image 0 (\n.png): its name is empty or holds a control character", changed(good, b + 64, '\n'));
  std::string twice = changed(changed(good, b + 56, std::uint32_t(5)), index + 60, std::uint32_t(8));
  const std::size_t second = twice.size() - 5;
  refused("a.png is in it twice", with_digest(twice.replace(second, 5, "a.png")));
}

TEST_CASE("packed: the writer refuses what the reader would") {
  const TempFolder folder;
  const Image image = noise(4, 5, 1);
  folder.file("x.partial", std::string(10000, 'x'));  // of a run that is forgotten
  PackedWriter writer(folder / "x", 1.3);
  const PackedImage good{.filename = "a", .height = 4, .width = 5, .part = {0, 0, 4, 5}};
  writer.append(good, image.pixels);
  expect_throw("a: is to be packed twice", [&] { writer.append(good, image.pixels); });
  PackedImage bad = good;
  bad.filename = "b", bad.part.x = 1;
  expect_throw("b: cannot be packed: its 5 x 4 pixels at 1,0 do not lie", [&] { writer.append(bad, image.pixels); });
  bad = good, bad.filename = "c\n";
  expect_throw("holds a control character", [&] { writer.append(bad, image.pixels); });
  bad = good, bad.filename = "d";
  expect_throw("bytes of pixels", [&] { writer.append(bad, noise(4, 4, 1).pixels); });
  CHECK(!fs::exists(folder / "x"));
  writer.commit();
  CHECK(PackedFile(folder / "x").images().size() == 1);
  CHECK(!fs::exists(PackedWriter::partial(folder / "x")));
}

TEST_CASE("pack: inputs are each photograph once; what cannot be read is rejected with its reason, in order") {
  ListBuilder train, val;
  train.manifest.origin = "train.csv", val.manifest.origin = "val.csv";
  train.add("a.jpg", Label{}, {}, "anna").box = {1, 1, 5, 5};
  train.add("gone.jpg", kPrint, "a.jpg");
  train.add("old.jpg", kPrint).reject_reason = "blurred";
  val.add("a.jpg", Label{}).box = {1, 1, 5, 5};
  val.add("b.jpg", Label{}).box = {-1, -1, -1, -1};
  const std::vector<Manifest> lists{train.manifest, val.manifest};
  const auto inputs = pack_inputs(lists);
  REQUIRE(inputs.size() == 3);
  CHECK(inputs[0].subject == "anna");
  CHECK(inputs[2].filename == "b.jpg");

  Album album;
  album.photos.emplace("a.jpg", noise(9, 9, 1));
  album.photos.emplace("b.jpg", noise(7, 8, 2));
  const TempFolder folder;
  const PackResult result = pack(plan_in(folder), lists, album);
  CHECK(result.complete);
  CHECK(result.images == 2);
  CHECK(result.rejected == std::vector<std::string>{"", "is empty (0 bytes)", ""});
  CHECK(std::uintmax_t(result.bytes) == fs::file_size(folder / "images.pack"));
  const PackedFile f(folder / "images.pack");
  CHECK(f.images()[0].width == 5);  // 0.4 … 5.6
  CHECK(f.images()[0].height == 5);
  CHECK(f.images()[1].whole());
  CHECK(!fs::exists(folder / "pack.journal"));

  val.manifest.records[0].box.x1 = 2;
  expect_throw("val.csv:2: a.jpg has another box in train.csv:2", [&] { pack_inputs({train.manifest, val.manifest}); });
  val.manifest.records[0].box.x1 = 1, val.manifest.records[0].subject = "ben";
  expect_throw("val.csv:2: a.jpg is of another person in train.csv:2", [&] { pack_inputs({train.manifest, val.manifest}); });
}

TEST_CASE("pack: out of a packed file into another one, no pixel read from elsewhere") {
  const Pairs pairs;
  const TempFolder first, second, third;
  pack(plan_in(first, 2), {pairs.list}, pairs.album);
  pack(plan_in(second), {pairs.list}, PackedImageSource(first / "images.pack"));
  pack(plan_in(third), {pairs.list}, pairs.album);
  CHECK(read_file(second / "images.pack") == read_file(third / "images.pack"));
  const TempFolder wider;
  const PackResult result = pack(plan_in(wider, 2), {pairs.list}, PackedImageSource(third / "images.pack"));
  CHECK(result.rejected[0] == "is itself packed, with another box or a smaller margin");
}

TEST_CASE("pack: 1 and 8 workers, stopped, and killed in the middle: the same bytes") {
  const Pairs pairs;
  const TempFolder whole;
  pack(plan_in(whole), {pairs.list}, pairs.album, 1);
  const std::string want = read_file(whole / "images.pack");
  const TempFolder eight;
  pack(plan_in(eight), {pairs.list}, pairs.album, 8);
  CHECK(read_file(eight / "images.pack") == want);

  const TempFolder killed;
  int kills = 0;
  for (; kills < 3; ++kills) {
    const auto size = [&] {
      std::error_code none;
      const auto n = fs::file_size(PackedWriter::partial(killed / "images.pack"), none);
      return none ? std::uintmax_t(0) : n;
    };
    const auto before = size();
    const pid_t child = ::fork();
    if (child == 0) {
      Album slow;
      slow.photos = pairs.album.photos, slow.slow = true;
      Packing(plan_in(killed), pack_inputs({pairs.list})).run(slow, {.workers = 2});
      ::_exit(0);
    }
    while (size() < before + 100000 && ::waitpid(child, nullptr, WNOHANG) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    CHECK(size() > before);
    CHECK(!fs::exists(killed / "images.pack"));
  }
  Album rest;
  rest.photos = pairs.album.photos;
  pack(plan_in(killed), {pairs.list}, rest, 3);
  CHECK(rest.loads < 80);
  CHECK(read_file(killed / "images.pack") == want);

  // Stopped, then other boxes: another run. Restarted, it is that run.
  const TempFolder stopped;
  Packing packing(plan_in(stopped), pack_inputs({pairs.list}));
  int asked = 0;
  const PackResult result = packing.run(pairs.album, {.workers = 1, .stop = [&] { return ++asked > 3; }});
  CHECK(!result.complete);
  CHECK(result.done < 80);
}

TEST_CASE("pack: killed behind its last step it does nothing again; a partial file that is gone is not made up") {
  const Pairs pairs;
  const TempFolder folder;
  {
    Packing packing(plan_in(folder), pack_inputs({pairs.list}));
    CHECK(packing.run(pairs.album, {.workers = 1}).complete);
  }  // and no finish(): the journal is still there
  const std::string want = read_file(folder / "images.pack");
  const int loads = pairs.album.loads;
  {
    Packing packing(plan_in(folder), pack_inputs({pairs.list}));
    CHECK(packing.done() == 80);
    const PackResult again = packing.run(pairs.album, {.workers = 1});
    CHECK(again.complete);
    CHECK(again.images == 80);
  }
  CHECK(pairs.album.loads == loads);
  CHECK(read_file(folder / "images.pack") == want);
  CHECK(!fs::exists(PackedWriter::partial(folder / "images.pack")));

  fs::remove(folder / "images.pack");
  {
    Packing packing(plan_in(folder), pack_inputs({pairs.list}));
    expect_throw("images.pack.partial: the ", [&] { packing.run(pairs.album, {.workers = 1}); });
    CHECK(!fs::exists(PackedWriter::partial(folder / "images.pack")));
    write_file_atomically(PackedWriter::partial(folder / "images.pack"), want.substr(0, 1000));
    expect_throw("images.pack.partial: the ", [&] { packing.run(pairs.album, {.workers = 1}); });
  }
  PackPlan fresh = plan_in(folder);
  fresh.restart = true;
  pack(fresh, {pairs.list}, pairs.album);
  CHECK(read_file(folder / "images.pack") == want);
}
