// apps/crop.cpp — `bonafide crop`: where the face of every photograph is, as a manifest and as the published box file, and
// optionally the faces cut out.
#include <cstdio>

#include "apps/commands.h"
#include "apps/common/command_line.h"
#include "apps/common/journaled_run.h"
#include "apps/common/photo_list.h"
#include "data/augment.h"
#include "data/faces/face_detector.h"
#include "data/images/decode.h"
#include "data/images/encode.h"
#include "data/output_names.h"
#include "data/work_list.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

constexpr int kJpegQuality = 95;  // as published
constexpr const char* kNoFace = "no face found";

struct Options {
  std::string src, manifest, root, dst, csv_name = "bboxes.csv", detector = "haar", select = "largest", no_face = "reject",
                                        device = "auto";
  std::vector<std::string> extensions{"jpg", "jpeg", "png", "bmp"};
  int out_size = 224, workers = -1;
  double margin = 1, max_megapixels = double(kMaxImagePixels) / 1e6;
  bool no_crops = false, restart = false;
};

// False where only help was wanted.
bool parse(Options& o, int argc, char** argv) {
  CLI::App app(
      "Finds the face of every photograph. Writes DST/manifest.csv (one row a photograph: box, landmarks, score, EXIF\n"
      "orientation), DST/bboxes.csv (path,x1,y1,x2,y2; -1 for no face), DST/rejects.csv (filename,reason) and, mirroring the\n"
      "tree, the faces cut out. Stopped or killed, the same command goes on where it was.",
      "bonafide crop");
  auto* from = app.add_option_group("input");
  from->add_option("--src", o.src, "folder: every image in it and below it");
  from->add_option("--manifest", o.manifest, "or a list: manifest, protocol or published CSV; its boxes are replaced");
  from->require_option(1);
  app.add_option("--root", o.root, "folder the list's filenames are relative to (default: the list's)");
  app.add_option("--dst", o.dst, "folder to write to")->required();
  app.add_option("--out-size", o.out_size, "side of the crops in pixels; 0 keeps the size of the box")
      ->check(CLI::Range(0, 8192))
      ->capture_default_str();
  app.add_option("--margin", o.margin, "crops are this many times as wide and high as the box")
      ->check(CLI::Range(0.5, 4.0))
      ->capture_default_str();
  app.add_flag("--no-crops", o.no_crops, "boxes only");
  app.add_option("--detector", o.detector, face_detector_names())->capture_default_str();
  app.add_option("--select", o.select, "of several faces: the largest (as published), the surest, or only: a photograph with several is rejected")
      ->check(CLI::IsMember({"largest", "surest", "only"}))
      ->capture_default_str();
  app.add_option("--no-face", o.no_face, "a photograph without a face: reject it, or full-frame: keep it without a box")
      ->check(CLI::IsMember({"reject", "full-frame"}))
      ->capture_default_str();
  app.add_option("--ext", o.extensions, "extensions of images below --src")->expected(1, -1)->delimiter(',')->capture_default_str();
  app.add_option("--csv-name", o.csv_name, "name of the box file in DST")->capture_default_str();
  app.add_option("--max-megapixels", o.max_megapixels, "larger photographs are rejected")
      ->check(CLI::Range(0.001, double(kMaxImagePixels) / 1e6))
      ->capture_default_str();
  app.add_option("-j,--workers", o.workers, "photographs at a time; -1: one per core")->check(CLI::Range(-1, 1024))->capture_default_str();
  app.add_option("--device", o.device, "auto or cpu: these detectors compute on the CPU")->capture_default_str();
  app.add_flag("--restart", o.restart, "forget what an earlier, unfinished start of another command did in DST");
  if (!parse_words(app, argc, argv)) return false;

  if (o.workers == 0) throw UsageError("--workers 0: expected at least 1, or -1 for one per core");
  if (o.device != "auto" && o.device != "cpu")
    throw UsageError(str("--device ", o.device, ": the detector ", o.detector, " computes on the CPU (auto or cpu)"));
  if (o.csv_name.empty() || fs::path(o.csv_name).filename() != o.csv_name || !o.csv_name.ends_with(".csv") ||
      o.csv_name == "manifest.csv" || o.csv_name == "rejects.csv")
    throw UsageError(str("--csv-name '", o.csv_name, "': expected the name of a file that ends with .csv, other than manifest.csv and rejects.csv"));
  if (!o.src.empty() && !o.root.empty()) throw UsageError("--root is for --manifest; with --src it is the folder itself");
  return true;
}

// One photograph: decode, detect, choose, cut out.
class Cropper {
 public:
  Cropper(const Options& o, const PhotoList& in, const std::vector<std::string>& crops, const FaceDetector& detector)
      : o_(o), in_(in), crops_(crops), detector_(detector) {}

  std::string operator()(std::int64_t input) const {
    const std::string path = in_.file(input).string();
    const Photo photo = load_photo(path, o_.max_megapixels);
    const std::vector<Face> faces = detector_.detect(photo.image);
    Found found{photo.orientation, photo.image.width, photo.image.height, std::int64_t(faces.size()), false, {}};
    if (const std::int64_t i = choose_face(faces, parse_select(o_.select)); i >= 0) {
      found.face = faces[std::size_t(i)];
      found.face.box = published_box(found.face.box, photo.image.width, photo.image.height);
      found.chosen = found.face.box.valid();
    }
    if (found.chosen && !o_.no_crops) write_crop(path, photo.image, found.face.box, fs::path(o_.dst) / crops_[std::size_t(input)]);
    return found.text();
  }

 private:
  void write_crop(const std::string& path, const Image& photo, const Box& box, const fs::path& to) const {
    std::error_code ignored;
    if (fs::equivalent(path, to, ignored)) throw Error(to.string() + ": is the photograph itself; it is not overwritten");
    fs::create_directories(to.parent_path(), ignored);
    if (o_.out_size == 0)
      return write_jpeg(to.string(), augmented_crop(photo, crop_rect(box, o_.margin, photo.width, photo.height), {}, {}), kJpegQuality);
    Image crop = Image::uninitialized(o_.out_size, o_.out_size);
    make_sample(photo, box, o_.margin, {}, {}, o_.out_size, o_.out_size, crop.pixels);
    write_jpeg(to.string(), crop, kJpegQuality);
  }

  const Options& o_;
  const PhotoList& in_;
  const std::vector<std::string>& crops_;
  const FaceDetector& detector_;
};

// Why a photograph that was looked at is none of the outputs; empty where it is one.
std::string objection(const Options& o, const Found& f) {
  if (f.chosen) return {};
  if (f.faces == 0) return o.no_face == "reject" ? kNoFace : "";
  if (f.faces > 1 && o.select == "only") return str(f.faces, " faces found, expected one");
  return "the box of the face has no size";
}

// The three lists, from the journal. How many photographs have an output.
std::int64_t write_lists(const Options& o, PhotoList& in, const std::vector<std::string>& crops, const WorkList& work) {
  const fs::path dst = o.dst, manifest = dst / "manifest.csv", boxes = dst / o.csv_name, rejects = dst / "rejects.csv";
  Manifest& m = in.list;
  m.full_frame.clear();
  const Column score(m, "detection_score"), faces(m, "faces"), orientation(m, "orientation"), width(m, "width"), height(m, "height"),
      crop(m, "crop");
  CsvWriter table(boxes, {"path", "x1", "y1", "x2", "y2"});
  work.for_each([&](std::int64_t i, const WorkResult& result) {
    Record& r = m.records[in.rows[std::size_t(i)]];
    r.box = {}, r.landmarks.clear();
    for (const Column& c : {score, faces, orientation, width, height, crop}) c.set(r, {});
    if (!result.text.starts_with(Found::kBegins)) {
      r.reject_reason = result.text;
      return;
    }
    const Found f = Found::parse(result.text);
    faces.set(r, str(f.faces)), orientation.set(r, str(f.orientation)), width.set(r, str(f.width)), height.set(r, str(f.height));
    if (!f.chosen) {
      r.reject_reason = objection(o, f);
      if (r.reject_reason.empty()) ++m.full_frame[kNoFace];
      table.row({r.filename, "-1", "-1", "-1", "-1"});
      return;
    }
    r.box = f.face.box, r.landmarks = f.face.landmarks;
    score.set(r, format_number(f.face.score));
    if (!o.no_crops) crop.set(r, crops[std::size_t(i)]);
    table.row({r.filename, format_number(r.box.x1), format_number(r.box.y1), format_number(r.box.x2), format_number(r.box.y2)});
  });
  RejectList list(rejects);
  count_rows(list, m);
  list.commit();
  table.commit();
  write_manifest(manifest, m);
  std::fputs(list.summary().c_str(), stdout);
  for (const auto& [reason, n] : m.full_frame) std::printf("full frame: %lld (%s)\n", (long long)n, reason.c_str());
  std::printf("manifest   %s\nboxes      %s\nrejects    %s\n", manifest.c_str(), boxes.c_str(), rejects.c_str());
  return list.outputs();
}

}  // namespace

int run_crop(int argc, char** argv) {
  Options o;
  if (!parse(o, argc, argv)) return kExitOk;
  const std::unique_ptr<FaceDetector> detector = [&] {
    try {
      return make_face_detector(o.detector);
    } catch (const Error& e) {
      throw UsageError(str("--detector: ", e.what()));
    }
  }();
  PhotoList in = read_photo_list({o.src, o.manifest, o.root, o.dst, o.extensions});
  const std::vector<std::string> crops = output_names(in.names, ".jpg");
  fs::create_directories(o.dst);
  WorkList work({.journal = fs::path(o.dst) / "crop.journal",
                 .command = str("crop ", fs::weakly_canonical(o.src.empty() ? o.manifest : o.src).string(), " --detector ", detector->identity(),
                                " --select ", o.select, " --no-face ", o.no_face, " --max-megapixels ", o.max_megapixels,
                                o.no_crops ? std::string(" --no-crops") : str(" --out-size ", o.out_size, " --margin ", o.margin)),
                 .inputs = std::int64_t(in.rows.size()),
                 .fingerprint = in.fingerprint,
                 .restart = o.restart});
  clear_away(o.dst, o.no_crops ? std::vector<std::string>() : crops);
  std::printf("detector   %s\n%s: %zu photographs\n", detector->identity().c_str(), in.list.origin.c_str(), in.rows.size());
  // What was looked at and is no output counts as rejected from the start; its text stays, for the lists.
  const auto finish = [&](std::int64_t, std::span<WorkResult> results) {
    for (WorkResult& r : results) r.rejected = r.rejected || !objection(o, Found::parse(r.text)).empty();
  };
  const StopSignals signals;
  const bool finished = run_journaled(signals, {"crop", work.done(), work.rejected(), work.inputs(), o.workers}, [&](const WorkRun& how) {
    return work.run(how, Cropper(o, in, crops, *detector), finish);
  });
  if (!finished) return kExitInterrupted;
  const std::int64_t outputs = write_lists(o, in, crops, work);
  work.remove();
  if (outputs > 0) return kExitOk;
  std::fflush(stdout);
  std::fprintf(stderr, "bonafide crop: none of the photographs has an output\n");
  return kExitDataCheck;
}

}  // namespace bonafide
