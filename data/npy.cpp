// data/npy.cpp — see npy.h. The header is a Python dictionary; only the one that numpy writes is understood.
#include "data/npy.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "data/csv.h"  // clipped

namespace bonafide {
namespace {

static_assert(std::endian::native == std::endian::little, ".npy files of type '<f4' are little-endian");
constexpr std::string_view kMagic = "\x93NUMPY";

struct Header {
  std::int64_t value_bytes = 0;
  std::vector<std::int64_t> shape;
};

// {'descr': '<f4', 'fortran_order': False, 'shape': (512,), }
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& file) : all_(text), text_(text), file_(file) {}

  Header parse() {
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr")
        descr();
      else if (key == "fortran_order")
        order();
      else if (key == "shape")
        shape();
      else
        fail("an unknown key '" + key + "'");
      if (take('}')) break;
      expect(',');
    }
    blanks();
    if (!text_.empty()) fail("something follows the dictionary");
    if (!header_.value_bytes || !ordered_ || !shaped_) fail("expected descr, fortran_order and shape");
    return std::move(header_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(clipped(str(file_, ": its header is not understood: ", what, ": ", all_)));
  }
  void blanks() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n')) text_.remove_prefix(1);
  }
  bool take(char c) {
    blanks();
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(str("expected '", c, "'"));
  }
  bool word(std::string_view w) {
    blanks();
    if (!text_.starts_with(w)) return false;
    text_.remove_prefix(w.size());
    return true;
  }
  std::string quoted() {
    blanks();
    const char quote = text_.empty() ? '\0' : text_[0];
    const std::size_t end = quote == '\'' || quote == '"' ? text_.find(quote, 1) : text_.npos;
    if (end == text_.npos) fail("expected a text in quotes");
    std::string inside(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return inside;
  }
  void once(bool& seen, const char* key) {
    if (seen) fail(str("'", key, "' appears twice"));
    seen = true;
  }
  void descr() {
    bool seen = header_.value_bytes > 0;
    once(seen, "descr");
    blanks();
    if (text_.empty() || (text_[0] != '\'' && text_[0] != '"')) fail("a record type; expected '<f4' or '<f8'");
    const std::string type = quoted();
    if (type != "<f4" && type != "<f8") fail("type '" + type + "', expected '<f4' or '<f8'");
    header_.value_bytes = type == "<f4" ? 4 : 8;
  }
  void order() {
    once(ordered_, "fortran_order");
    if (word("True")) fail("Fortran order, expected C order");
    if (!word("False")) fail("fortran_order is neither True nor False");
  }
  void shape() {
    once(shaped_, "shape");
    expect('(');
    bool comma = true;
    while (!take(')')) {
      if (!comma) fail("expected a comma in the shape");
      blanks();
      std::int64_t size = 0;
      const auto [next, error] = std::from_chars(text_.data(), text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0) fail("the shape has an entry that is no size");
      text_.remove_prefix(std::size_t(next - text_.data()));
      header_.shape.push_back(size);
      comma = take(',');
    }
    if (header_.shape.size() == 1 && !comma) fail("the shape is no tuple");
  }

  std::string_view all_, text_;
  const std::string& file_;
  Header header_;
  bool ordered_ = false, shaped_ = false;
};

}  // namespace

NpyArray parse_npy(std::span<const std::byte> bytes, const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic)) throw Error(name + ": is no .npy file");
  if (text.size() < 10) throw Error(str(name, ": is cut short: ", text.size(), " bytes"));
  const int major = int(text[6]), minor = int(text[7]);
  if ((major != 1 && major != 2) || minor != 0)
    throw Error(str(name, ": .npy version ", major, ".", minor, ", expected 1.0 or 2.0"));
  const std::size_t prefix = major == 1 ? 10 : 12;
  std::uint32_t length = 0;
  if (text.size() >= prefix) std::memcpy(&length, text.data() + 8, prefix - 8);
  if (text.size() < prefix || length > text.size() - prefix)
    throw Error(str(name, ": is cut short: its header takes ", length, " bytes, the file has ", text.size()));

  Header header = HeaderParser(text.substr(prefix, length), name).parse();
  const std::uint64_t there = text.size() - prefix - length;
  std::uint64_t want = std::uint64_t(header.value_bytes);
  bool too_large = false;
  for (const std::int64_t d : header.shape)
    too_large |= __builtin_mul_overflow(want, std::uint64_t(d), &want);
  if (too_large || want != there)
    throw Error(str(name, ": ", !too_large && want < there ? "is too long" : "is cut short", ": after its header it has ",
                    there, " bytes, its shape takes ", too_large ? std::string("more than any file has") : str(want)));

  NpyArray a{std::move(header.shape), std::vector<float>(std::size_t(there) / std::size_t(header.value_bytes))};
  const char* data = text.data() + prefix + length;
  if (header.value_bytes == 4) {
    if (there) std::memcpy(a.values.data(), data, std::size_t(there));
    return a;
  }
  constexpr double kMost = double(std::numeric_limits<float>::max());
  for (float& to : a.values) {
    double v;
    std::memcpy(&v, data, 8);
    data += 8;
    to = std::abs(v) > kMost ? std::copysign(std::numeric_limits<float>::infinity(), float(std::copysign(1.0, v))) : float(v);
  }
  return a;
}

NpyArray read_npy(const std::filesystem::path& path) { return parse_npy(map_file(path).bytes, path.string()); }

std::string npy_bytes(const std::vector<std::int64_t>& shape, Span<const float> values) {
  std::int64_t n = 1;
  std::string dims;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    n *= shape[i];
    dims += str(i ? ", " : "", shape[i]);
  }
  BF_CHECK(n == values.len, values.len, " values for shape (", dims, ")");
  if (shape.size() == 1) dims += ',';
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + dims + "), }";
  const std::size_t prefix = kMagic.size() + 4;
  header.resize(ceil_div<std::size_t>(prefix + header.size() + 1, 64) * 64 - prefix, ' ');
  header.back() = '\n';
  const auto length = std::uint16_t(header.size());
  BF_CHECK(length == header.size(), "a shape of ", shape.size(), " axes");
  std::string bytes(kMagic);
  bytes.append("\x01\x00", 2).append(reinterpret_cast<const char*>(&length), 2).append(header);
  return bytes.append(reinterpret_cast<const char*>(values.ptr), std::size_t(values.len) * 4);
}

void write_npy(const std::filesystem::path& path, const std::vector<std::int64_t>& shape, Span<const float> values,
               Durable durable) {
  write_file_atomically(path, npy_bytes(shape, values), durable);
}

}  // namespace bonafide
