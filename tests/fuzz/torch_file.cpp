// tests/fuzz/torch_file.cpp — TorchFile: pickles, zip archives and the views of storages that they describe.
//
// Checksums of zip entries stand in the way of a search, so an input that begins with 'p' is a bare pickle, and one that
// begins with 'z' a list of entries that become a stored archive: for each the length of its name (1 byte) and of its
// contents (2 bytes, little-endian), then both. Everything else is a file as it stands.
#include "engine/torch_file.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "engine/pickle.h"
#include "tests/fuzz/target.h"

namespace bonafide::fuzz {
namespace {

using Bytes = std::span<const std::byte>;

Bytes bytes_of(const std::string& s) { return std::as_bytes(std::span(s)); }

std::string number(std::uint64_t v, int n) {
  std::string s;
  for (int i = 0; i < n; ++i) s += i < 8 ? char(v >> (8 * i) & 0xff) : char(0);
  return s;
}

// A zip archive of stored entries without checksums.
std::string stored_zip(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string zip, directory;
  for (const auto& [name, contents] : entries) {
    const std::string common = number(20, 2) + number(0, 10) + number(0, 4) + number(contents.size(), 4) +
                               number(contents.size(), 4) + number(name.size(), 2) + number(0, 2);
    directory += number(0x02014b50, 4) + number(20, 2) + common + number(0, 10) + number(zip.size(), 4) + name;
    zip += number(0x04034b50, 4) + common + name + contents;
  }
  const std::uint64_t begin = zip.size();
  return zip + directory + number(0x06054b50, 4) + number(0, 4) + number(entries.size(), 2) + number(entries.size(), 2) +
         number(directory.size(), 4) + number(begin, 4) + number(0, 2);
}

std::string archive(std::string_view list) {
  std::vector<std::pair<std::string, std::string>> entries;
  while (list.size() >= 3 && entries.size() < 16) {
    const std::size_t name = std::uint8_t(list[0]), size = std::uint8_t(list[1]) | std::size_t(std::uint8_t(list[2])) << 8;
    list.remove_prefix(3);
    const std::string_view n = list.substr(0, name);
    list.remove_prefix(n.size());
    entries.emplace_back(n, list.substr(0, size));
    list.remove_prefix(entries.back().second.size());
  }
  return stored_zip(entries);
}

void check(const TorchFile& file) {
  for (const TorchTensor& t : file.tensors()) {
    must(t.shape.size() == t.strides.size(), t.name, ": as many strides as axes");
    std::int64_t n = 1;
    for (const std::int64_t d : t.shape) n *= d;
    must(n == t.numel() && n >= 0, t.name, ": ", n, " elements");
    // What lies behind a storage may be readable all the same: another part of the file.
    std::int64_t last = t.offset;
    for (std::size_t i = 0; n > 0 && i < t.shape.size(); ++i) last += (t.shape[i] - 1) * t.strides[i];
    must(n == 0 || (last + 1) * size_of(t.type) <= std::int64_t(t.storage.size()), t.name, ": element ", last, " of its storage");
    if (n > 1 << 16) continue;  // an axis of stride 0 may be as long as it likes
    std::vector<float> values(static_cast<std::size_t>(n));
    t.read(values);
  }
}

void run(const std::string& input) {
  if (input.starts_with("p")) {
    accepts([&] {
      const Pickle p = read_pickle(bytes_of(input).subspan(1), "fuzz.pkl");
      must(p.root < p.values.size() && p.size < input.size(), "a pickle outside itself");
      for (const PickleValue& v : p.values) {
        must(v.callable < p.values.size() && v.argument < p.values.size(), "a reference to nothing");
        for (const PickleRef i : v.items) must(i < p.values.size(), "an item that is not there");
      }
    });
  } else {
    const std::string file = input.starts_with("z") ? archive(std::string_view(input).substr(1)) : input;
    accepts([&] { check(TorchFile(bytes_of(file), "fuzz.pth")); });
  }
}

// The small fixtures, and a state dict of one tensor as a list of entries.
std::vector<std::string> seeds() {
  std::vector<std::string> all;
  for (const char* name : {"views_zip.pt", "views_stream.pt", "views_deflated.pt", "views_zip64.pt", "views_protocol5.pt",
                           "checkpoint_stream.pt", "checkpoint_protocol4.pt", "dtypes_stream.pt", "module_zip.pt"}) {
    std::ifstream in(std::string(BF_SOURCE_DIR "/tests/fixtures/torch/") + name, std::ios::binary);
    std::stringstream s;
    s << in.rdbuf();
    must(!s.str().empty(), "no fixture ", name);
    all.push_back(s.str());
  }
  const auto text = [](const std::string& s) { return "X" + number(s.size(), 4) + s; };
  const std::string storage = "(" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + "K\x04tQ";
  const std::string tensor = "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + std::string("K\0K\x02K\x02\x86K\x02K\x01\x86\x89", 13) +
                             "ccollections\nOrderedDict\n)RtR";
  const std::string pickle = "\x80\x02}q\x01" + std::string("(") + text("weight") + tensor + text("again") + "h\x01" + "u.";
  const auto entry = [](const std::string& name, const std::string& contents) {
    return number(name.size(), 1) + number(contents.size(), 2) + name + contents;
  };
  all.push_back("p" + pickle);
  all.push_back("z" + entry("a/data.pkl", pickle) + entry("a/byteorder", "little") + entry("a/data/0", std::string(16, 'x')));
  return all;
}

const Register target("torch_file", run, seeds());

}  // namespace
}  // namespace bonafide::fuzz
