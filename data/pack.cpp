// data/pack.cpp — workers cut photographs, one thread appends their pixels; the journal remembers what lies where.
#include "data/pack.h"

#include <charconv>
#include <unordered_map>

namespace bonafide {
namespace {

bool same(const Box& a, const Box& b) {
  if (!a.valid() && !b.valid()) return true;
  return a.x1 == b.x1 && a.y1 == b.y1 && a.x2 == b.x2 && a.y2 == b.y2;
}

// What the journal keeps of a packed image. Between worker and writer its pixels follow, behind a line break.
std::string journal_text(const PackedImage& i) {
  return str(i.height, " ", i.width, " ", i.part.x, " ", i.part.y, " ", i.part.height, " ", i.part.width, " ", i.digest);
}

PackedImage from_journal(const PackInput& input, std::string_view text) {
  std::uint64_t v[7] = {};
  const char *at = text.data(), *const end = at + text.size();
  for (std::uint64_t& number : v) {
    const auto [next, error] = std::from_chars(at, end, number);
    BF_CHECK(error == std::errc(), "a result of pack: '", text, "'");
    at = next + (next != end);
  }
  PackedImage i;
  i.filename = input.filename, i.subject = input.subject, i.box = input.box;
  i.height = int(v[0]), i.width = int(v[1]);
  i.part = {int(v[2]), int(v[3]), int(v[4]), int(v[5])};
  i.digest = v[6];
  return i;
}

// The message without the path before it: "/data/anna/1.jpg: is empty" -> "is empty".
std::string reason(const std::exception& e, const std::string& filename) {
  const std::string what = e.what();
  const std::size_t at = what.find(filename + ": ");
  return at == what.npos ? what : what.substr(at + filename.size() + 2);
}

std::string cut(const ImageSource& source, const PackInput& input, double margin) {
  std::shared_ptr<const Image> photo;
  CropRect r;
  PackedImage i;
  try {
    photo = source.share(input.filename);
    if (photo->whole())
      i.part = {0, 0, photo->height, photo->width};
    else  // packed out of another packed file
      i.part = photo->part;
    const CropRect wanted = margin > 0 ? kept_rect(input.box, margin, i.part.width, i.part.height)
                                       : CropRect{0, 0, i.part.width, i.part.height};
    r = {wanted.x1 - i.part.x, wanted.y1 - i.part.y, wanted.x2 - i.part.x, wanted.y2 - i.part.y};
    if (r.x1 < 0 || r.y1 < 0 || r.x2 > photo->width || r.y2 > photo->height)
      throw Error("is itself packed, with another box or a smaller margin");
    i.part.x = wanted.x1, i.part.y = wanted.y1;
  } catch (const Error& e) {
    throw Rejected(reason(e, input.filename));
  }
  i.height = r.height(), i.width = r.width();
  std::string text = journal_text(i) + "\n";
  text.reserve(text.size() + std::size_t(i.bytes()));
  for (int y = r.y1; y < r.y2; ++y) text.append(reinterpret_cast<const char*>(photo->at(y, r.x1)), std::size_t(3 * r.width()));
  return text;
}

// Photographs with their boxes and people: the results depend on these.
std::uint64_t fingerprint_of(const std::vector<PackInput>& inputs, std::uint64_t photographs) {
  InputFingerprint f;
  f.add(str(photographs));
  for (const PackInput& i : inputs) {
    f.add(i.filename), f.add(i.subject);
    for (const float v : {i.box.x1, i.box.y1, i.box.x2, i.box.y2}) f.add(format_number(v));
  }
  return f.value();
}

}  // namespace

std::vector<PackInput> pack_inputs(const std::vector<Manifest>& lists) {
  struct Seen {
    std::size_t at;
    std::string where;
  };
  std::vector<PackInput> inputs;
  std::unordered_map<std::string, Seen> seen;
  for (const Manifest& m : lists)
    for (const Record& r : m.records) {
      if (!r.reject_reason.empty()) continue;
      const auto [it, fresh] = seen.emplace(r.filename, Seen{inputs.size(), m.where(r)});
      if (fresh) {
        inputs.push_back({r.filename, r.subject, r.box.valid() ? r.box : Box{}});
        continue;
      }
      PackInput& before = inputs[it->second.at];
      if (!same(before.box, r.box)) throw Error(str(m.where(r), ": ", r.filename, " has another box in ", it->second.where));
      if (before.subject.empty()) before.subject = r.subject;
      if (!r.subject.empty() && r.subject != before.subject)
        throw Error(str(m.where(r), ": ", r.filename, " is of another person in ", it->second.where));
    }
  return inputs;
}

Packing::Packing(PackPlan plan, std::vector<PackInput> inputs)
    : plan_(std::move(plan)), inputs_(std::move(inputs)),
      work_({.journal = plan_.journal,
             .command = str(plan_.command, plan_.margin > 0 ? str(" --margin ", plan_.margin) : std::string(" --whole")),
             .inputs = std::int64_t(inputs_.size()),
             .fingerprint = fingerprint_of(inputs_, plan_.fingerprint),
             .restart = plan_.restart}) {}

std::vector<PackedImage> Packing::packed_before() const {
  std::vector<PackedImage> images;
  work_.for_each([&](std::int64_t i, const WorkResult& r) {
    if (!r.rejected) images.push_back(from_journal(inputs_[std::size_t(i)], r.text));
  });
  return images;
}

PackResult Packing::run(const ImageSource& source, const WorkRun& how) {
  PackResult result;
  std::vector<PackedImage> before = packed_before();
  if (!(work_.complete() && PackedWriter::is_committed(plan_.output, plan_.margin, before))) {
    PackedWriter writer(plan_.output, plan_.margin, std::move(before));
    const bool complete = work_.run(
        how, [&](std::int64_t i) { return cut(source, inputs_[std::size_t(i)], plan_.margin); },
        [&](std::int64_t first, std::span<WorkResult> results) {
          for (std::size_t k = 0; k < results.size(); ++k) {
            std::string& text = results[k].text;
            if (results[k].rejected) continue;
            const std::size_t line = text.find('\n');
            const Span<const std::uint8_t> pixels{reinterpret_cast<const std::uint8_t*>(text.data()) + line + 1,
                                                  std::int64_t(text.size() - line - 1)};
            text = journal_text(writer.append(from_journal(inputs_[std::size_t(first) + k], std::string_view(text).substr(0, line)), pixels));
          }
        });
    result.done = work_.done(), result.images = work_.done() - work_.rejected();
    if (!complete) return result;
    writer.commit();
  }
  result.complete = true;
  result.done = work_.done(), result.images = work_.done() - work_.rejected();
  result.bytes = std::int64_t(std::filesystem::file_size(plan_.output));
  result.rejected.resize(inputs_.size());
  work_.for_each([&](std::int64_t i, const WorkResult& r) {
    if (r.rejected) result.rejected[std::size_t(i)] = r.text.empty() ? "unreadable" : r.text;
  });
  return result;
}

}  // namespace bonafide
