// apps/embed.cpp — `bonafide embed`: the face of every photograph as a unit vector, in one file apart from the photographs.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "apps/commands.h"
#include "apps/common/build_info.h"
#include "apps/common/command_line.h"
#include "apps/common/device.h"
#include "apps/common/journaled_run.h"
#include "apps/common/photo_list.h"
#include "data/crop.h"
#include "data/embeddings.h"
#include "data/faces/face_detector.h"
#include "data/faces/face_embedder.h"
#include "data/images/decode.h"
#include "data/npy.h"
#include "data/output_names.h"
#include "data/work_list.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string src, manifest, root, dst, detector = "mtcnn", embedder, select = "largest", device = "auto", gpus;
  std::vector<std::string> extensions{"jpg", "jpeg", "png", "bmp", "tif"};
  int batch_size = 32, workers = -1;
  double max_megapixels = double(kMaxImagePixels) / 1e6;
  bool redetect = false, npy = false, restart = false;
};

// False where only help was wanted.
bool parse(Options& o, int argc, char** argv) {
  CLI::App app(
      "Makes a vector of length 1 of the face in every photograph; the dot product of two says how much alike they are.\n"
      "Writes DST/embeddings.safetensors (with an index; docs/data.md), DST/manifest.csv (box, landmarks, embedding_row) and\n"
      "DST/rejects.csv (filename,reason). Stopped or killed, the same command goes on where it was.",
      "bonafide embed");
  auto* from = app.add_option_group("input");
  from->add_option("--src", o.src, "folder: every image in it and below it");
  from->add_option("--manifest", o.manifest, "or a list: manifest, protocol or published CSV; where a row has a box, that is its face");
  from->require_option(1);
  app.add_option("--root", o.root, "folder the list's filenames are relative to (default: the list's)");
  app.add_option("--dst", o.dst, "folder to write to")->required();
  app.add_option("--embedder", o.embedder, face_embedder_names())->required();
  app.add_option("--detector", o.detector, face_detector_names())->capture_default_str();
  app.add_flag("--redetect", o.redetect, "look for faces also where the list has a box");
  app.add_option("--select", o.select, "of several faces: the largest (as published), the surest, or only: a photograph with several is rejected")
      ->check(CLI::IsMember({"largest", "surest", "only"}))
      ->capture_default_str();
  app.add_flag("--npy", o.npy, "also the published layout: an .npy file for each photograph, mirroring the tree");
  app.add_option("--batch-size", o.batch_size, "faces that go through the network together; also what a kill loses at most")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--ext", o.extensions, "extensions of images below --src")->expected(1, -1)->delimiter(',')->capture_default_str();
  app.add_option("--max-megapixels", o.max_megapixels, "larger photographs are rejected")
      ->check(CLI::Range(0.001, double(kMaxImagePixels) / 1e6))
      ->capture_default_str();
  app.add_option("-j,--workers", o.workers, "photographs that are read at a time; -1: one per core")->check(CLI::Range(-1, 1024))->capture_default_str();
  app.add_option("--device", o.device, "of the embedding network: auto takes a usable GPU, else the CPU")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--gpus", o.gpus, "number of the GPU to use, from 0");
  app.add_flag("--restart", o.restart, "forget what an earlier, unfinished start of another command did in DST");
  if (!parse_words(app, argc, argv)) return false;
  if (o.workers == 0) throw UsageError("--workers 0: expected at least 1, or -1 for one per core");
  if (!o.src.empty() && !o.root.empty()) throw UsageError("--root is for --manifest; with --src it is the folder itself");
  return true;
}

// A result in the journal: what was found, a line break, then bytes: the cut face after the first step, its vector after the
// second. Nothing behind the first line: there is no face to embed, and why.
struct Parts {
  std::string_view found, bytes;
  explicit Parts(std::string_view text) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    found = text.substr(0, end), bytes = text.substr(std::min(end + 1, text.size()));
  }
};

// First step, on many threads: read, detect, cut out.
class FaceCutter {
 public:
  FaceCutter(const Options& o, const PhotoList& in, const FaceDetector* detector, const FaceEmbedder& embedder)
      : o_(o), in_(in), detector_(detector), embedder_(embedder) {}

  std::string operator()(std::int64_t input) const {
    const Record& r = in_.record(input);
    const Photo photo = load_photo(in_.file(input).string(), o_.max_megapixels);
    Found found{photo.orientation, photo.image.width, photo.image.height, 0, true, {}};
    Face face{r.box, 0, r.landmarks};
    if (!r.box.valid() || o_.redetect) {
      const std::vector<Face> faces = detector_->detect(photo.image);
      found.faces = std::int64_t(faces.size());
      const std::int64_t i = choose_face(faces, parse_select(o_.select));
      if (i < 0) throw Rejected(faces.empty() ? "no face found" : str(faces.size(), " faces found, expected one"));
      face = faces[std::size_t(i)];
    }
    const Image cut = [&] {
      try {
        return embedder_.prepare(photo.image, face);
      } catch (const Error& e) {
        throw Rejected(e.what());
      }
    }();
    found.face = face;
    if (found.faces > 0) found.face.box = published_box(face.box, photo.image.width, photo.image.height);
    return str(found.text(), "\n", cut.height, " ", cut.width, "\n",
               std::string_view(reinterpret_cast<const char*>(cut.pixels.data()), cut.pixels.size()));
  }

 private:
  const Options& o_;
  const PhotoList& in_;
  const FaceDetector* detector_;  // null where every row has a box
  const FaceEmbedder& embedder_;
};

Image cut_of(std::string_view bytes) {
  const std::size_t line = bytes.find('\n');
  const std::string size(bytes.substr(0, line));
  Image face;
  BF_CHECK(line != bytes.npos && std::sscanf(size.c_str(), "%d %d", &face.height, &face.width) == 2, "a cut face: '", size, "'");
  bytes.remove_prefix(line + 1);
  face.pixels.resize(bytes.size());
  std::memcpy(face.pixels.data(), bytes.data(), bytes.size());
  return face;
}

// Second step, a batch at a time: the faces of the group through the network.
void embed_group(const FaceEmbedder& embedder, std::span<WorkResult> results) {
  std::vector<Image> faces;
  for (const WorkResult& r : results)
    if (!r.rejected) faces.push_back(cut_of(Parts(r.text).bytes));
  if (faces.empty()) return;
  const std::vector<float> vectors = embedder.embed(faces);
  const std::size_t bytes = std::size_t(embedder.dimension()) * sizeof(float);
  const char* at = reinterpret_cast<const char*>(vectors.data());
  for (WorkResult& r : results) {
    if (r.rejected) continue;
    r.text = str(Parts(r.text).found, "\n", std::string_view(at, bytes));
    at += bytes;
  }
}

// All outputs, from the journal. How many photographs have an embedding.
std::int64_t write_outputs(const Options& o, PhotoList& in, const FaceEmbedder& embedder, const std::string& detector, const WorkList& work) {
  const fs::path dst = o.dst, file = dst / "embeddings.safetensors", manifest = dst / "manifest.csv", rejects = dst / "rejects.csv";
  const std::vector<std::string> arrays = o.npy ? output_names(in.names, ".npy") : std::vector<std::string>();
  clear_away(dst, arrays);
  const std::string identity = embedder.identity();
  const std::size_t digest = identity.rfind(' ') + 1;
  EmbeddingsWriter writer(file, {.embedder = identity.substr(0, digest - 1),
                                 .embedder_digest = identity.substr(digest),
                                 .dimension = embedder.dimension(),
                                 .notes = {{"detector", detector}, {"program", version_line()}}});
  Manifest& m = in.list;
  m.full_frame.clear();
  for (Record& r : m.records) r.embedding_row = -1;
  const Column score(m, "detection_score"), faces(m, "faces"), orientation(m, "orientation"), width(m, "width"), height(m, "height");
  std::vector<float> v(std::size_t(embedder.dimension()));
  work.for_each([&](std::int64_t i, const WorkResult& result) {
    Record& r = m.records[in.rows[std::size_t(i)]];
    if (result.rejected) {
      r.reject_reason = result.text;
      return;
    }
    const Parts parts(result.text);
    BF_CHECK(parts.bytes.size() == v.size() * sizeof(float), "an embedding of ", parts.bytes.size(), " bytes");
    std::memcpy(v.data(), parts.bytes.data(), parts.bytes.size());
    const Found f = Found::parse(parts.found);
    if (f.faces > 0) {
      r.box = f.face.box, r.landmarks = f.face.landmarks;
      score.set(r, format_number(f.face.score)), faces.set(r, str(f.faces));
    }
    orientation.set(r, str(f.orientation)), width.set(r, str(f.width)), height.set(r, str(f.height));
    r.embedding_row = writer.rows();
    writer.append({r.filename, r.subject}, v);
    if (!o.npy) return;
    const fs::path array = dst / arrays[std::size_t(i)];
    fs::create_directories(array.parent_path());
    write_npy(array, {std::int64_t(v.size())}, v, Durable::eventually);
  });
  RejectList list(rejects);
  count_rows(list, m);
  list.commit();
  writer.commit();
  write_manifest(manifest, m);
  std::fputs(list.summary().c_str(), stdout);
  std::printf("embeddings %s (%lld x %d)\nmanifest   %s\nrejects    %s\n", file.c_str(), (long long)writer.rows(), embedder.dimension(),
              manifest.c_str(), rejects.c_str());
  return list.outputs();
}

template <class F>
auto named(const char* option, F&& make) {
  try {
    return make();
  } catch (const UsageError&) {
    throw;
  } catch (const Error& e) {
    throw UsageError(str(option, ": ", e.what()));
  }
}

}  // namespace

int run_embed(int argc, char** argv) {
  Options o;
  if (!parse(o, argc, argv)) return kExitOk;
  const ChosenDevice device = choose_device(o.device == "auto" && !o.embedder.starts_with("inception") ? "cpu" : o.device, o.gpus);
  const auto embedder = named("--embedder", [&] { return make_face_embedder(o.embedder, device.device); });
  PhotoList in = read_photo_list({o.src, o.manifest, o.root, o.dst, o.extensions});
  const bool detects = o.redetect || std::any_of(in.rows.begin(), in.rows.end(), [&](std::size_t i) { return !in.list.records[i].box.valid(); });
  const auto detector = detects ? named("--detector", [&] { return make_face_detector(o.detector); }) : nullptr;
  const std::string detector_name = detector ? detector->identity() : "none: boxes of the list";
  fs::create_directories(o.dst);
  WorkList work({.journal = fs::path(o.dst) / kEmbedJournal,
                 .command = str("embed ", fs::weakly_canonical(o.src.empty() ? o.manifest : o.src).string(), " --embedder ", embedder->identity(),
                                " --device ", device.device.kind == Device::cuda ? "cuda" : "cpu", " --detector ", detector_name, " --select ",
                                o.select, o.redetect ? " --redetect" : "", " --max-megapixels ", o.max_megapixels, " --batch-size ", o.batch_size),
                 .inputs = std::int64_t(in.rows.size()),
                 .fingerprint = in.fingerprint,
                 .group = o.batch_size,
                 .restart = o.restart});
  std::printf("embedder   %s\ndetector   %s\ndevice     %s\n%s: %zu photographs\n", embedder->identity().c_str(), detector_name.c_str(),
              device.words.c_str(), in.list.origin.c_str(), in.rows.size());
  const StopSignals signals;
  const bool finished = run_journaled(signals, {"embed", work.done(), work.rejected(), work.inputs(), o.workers}, [&](const WorkRun& how) {
    return work.run(how, FaceCutter(o, in, detector.get(), *embedder),
                    [&](std::int64_t, std::span<WorkResult> results) { embed_group(*embedder, results); });
  });
  if (!finished) return kExitInterrupted;
  const std::int64_t outputs = write_outputs(o, in, *embedder, detector_name, work);
  work.remove();
  if (outputs > 0) return kExitOk;
  std::fflush(stdout);
  std::fprintf(stderr, "bonafide embed: none of the photographs has an embedding\n");
  return kExitDataCheck;
}

}  // namespace bonafide
