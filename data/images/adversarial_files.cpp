// data/images/adversarial_files.cpp — crops in batches, attacked, written without loss.
#include "data/images/adversarial_files.h"

#include <algorithm>
#include <cstdio>

#include "data/augment.h"
#include "data/detector.h"
#include "data/images/encode.h"
#include "engine/parallel.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBatch = 16;  // a constant: rounding may depend on it

// The box in a crop of size x size that, `margin` times as large, is just more than the crop: cropping takes all of it,
// whichever way it rounds. A margin that leaves no room around the box means no box: the whole image.
Box box_of_crop(int size, double margin) {
  if (margin < 1.001) return {};
  const double half = 0.5 * size / margin * 1.0001;
  return {float(0.5 * size - half), float(0.5 * size - half), float(0.5 * size + half), float(0.5 * size + half)};
}

}  // namespace

Manifest adversarial_files(const Manifest& photographs, const ImageSource& source, const fs::path& folder,
                           const PixelAdversary& adversary, const AdversarialPlan& plan,
                           std::pair<double, double>* scores) {
  const ModelInfo& info = adversary.info();
  const int size = info.input_size;
  const std::size_t each = std::size_t(size) * std::size_t(size) * 3;
  Manifest out;
  out.origin = photographs.origin, out.extra_columns = photographs.extra_columns;
  const bool has_source =
      std::find(out.extra_columns.begin(), out.extra_columns.end(), "source") != out.extra_columns.end();
  if (!has_source) out.extra_columns.push_back("source");

  std::vector<const Record*> rows;
  for (const Record& r : photographs.records)
    if (plan.toward_attack ? r.genuine() : r.attack())
      rows.push_back(&r);
    else
      out.dropped.push_back({r.filename, plan.toward_attack ? "not a genuine photograph" : "not an attack", r.line});
  if (rows.empty())
    throw Error(str(photographs.origin, ": no ", plan.toward_attack ? "genuine photographs" : "attacks",
                    " to add adversarial noise to"));
  const std::string noisy = kPixelAdversarial.name(), plain = "crop";
  fs::create_directories(folder / noisy);
  if (plan.include_originals) fs::create_directories(folder / plain);

  double before = 0, after = 0;
  for (std::size_t first = 0; first < rows.size(); first += kBatch) {
    const std::size_t n = std::min(kBatch, rows.size() - first);
    std::vector<std::uint8_t> crops(n * each);
    std::vector<Random> starts;
    for (std::size_t i = 0; i < n; ++i)
      starts.emplace_back(plan.seed, str("adversarial start ", rows[first + i]->filename));
    parallel_for(std::int64_t(n), [&](std::int64_t i) {
      const Record& r = *rows[first + std::size_t(i)];
      make_sample(source.load(r.filename), r.box, info.crop_margin, {}, {}, size, size,
                  {crops.data() + std::size_t(i) * each, std::int64_t(each)});
    });
    const auto attacked = adversary.attack(crops, starts, plan.toward_attack);
    for (std::size_t i = 0; i < n; ++i) {
      const Record& from = *rows[first + i];
      char name[32];
      std::snprintf(name, sizeof name, "%05zu.png", first + i);
      const auto write = [&](const std::string& where, const Label& label, const std::vector<std::uint8_t>& pixels,
                             const std::string& partner) {
        Image image = Image::uninitialized(size, size);
        std::copy_n(pixels.begin() + std::ptrdiff_t(i * each), each, image.pixels.begin());
        Record r;
        r.filename = (fs::path(where) / name).string();
        r.subject = from.subject, r.split = from.split, r.domain = from.domain, r.extra = from.extra;
        if (!has_source) r.extra.push_back(from.filename);
        r.label = label, r.box = box_of_crop(size, info.crop_margin), r.pair_filename = partner;
        write_png((folder / r.filename).string(), image);
        out.records.push_back(r);
        return r.filename;
      };
      const std::string own = plan.include_originals ? write(plain, *from.label, crops, "") : "";
      write(noisy, kPixelAdversarial, attacked.pixels, from.genuine() ? own : "");
      before += probability(attacked.before[i]), after += probability(attacked.after[i]);
    }
  }
  if (scores) *scores = {before / double(rows.size()), after / double(rows.size())};
  return out;
}

}  // namespace bonafide
