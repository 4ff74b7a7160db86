// tests/support/lists.h — manifests and image sources that exist in memory only.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "data/manifest.h"
#include "data/sources.h"

namespace bonafide::test {

struct ListBuilder {
  Manifest manifest;
  ListBuilder() { manifest.origin = "list.csv"; }
  Record& add(const std::string& filename, std::optional<Label> label, const std::string& partner = {},
              const std::string& subject = {}) {
    Record r;
    r.filename = filename;
    r.label = label;
    r.pair_filename = partner;
    r.subject = subject;
    r.line = int(manifest.records.size()) + 2;
    manifest.records.push_back(r);
    return manifest.records.back();
  }
  std::shared_ptr<const Manifest> done() { return std::make_shared<const Manifest>(std::move(manifest)); }
};

// n pairs a0/g0, a1/g1, …; the attacks are print and replay in turn.
inline std::shared_ptr<const Manifest> pair_list(int n) {
  ListBuilder list;
  for (int i = 0; i < n; ++i) list.add(str("g", i), Label{});
  for (int i = 0; i < n; ++i) list.add(str("a", i), i % 2 ? kReplay : kPrint, str("g", i));
  return list.done();
}

// Photographs of `people` persons, `each` of everyone: p0_0, p0_1, …
inline std::shared_ptr<const Manifest> photo_list(int people, int each) {
  ListBuilder list;
  for (int p = 0; p < people; ++p)
    for (int i = 0; i < each; ++i) list.add(str("p", p, "_", i), Label{}, {}, str("person", p));
  return list.done();
}

// Small images whose pixels tell their name; names that begin with "bad" cannot be read. Counts how often it was asked.
class FakeSource final : public ImageSource {
 public:
  Image load(const std::string& path) const override {
    ++loads;
    if (path.starts_with("bad")) throw Error(path + ": not an image");
    Image image(3, 4);
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] = std::uint8_t(hash_name(path) >> (i % 8 * 8));
    return image;
  }
  mutable std::atomic<int> loads{0};
};

}  // namespace bonafide::test
