// tests/support/pickles.h — pickles and files of torch.save made by hand, good ones and hostile ones.
#pragma once
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bonafide::test {

using namespace std::string_literals;

inline std::span<const std::byte> as_bytes(std::string_view s) { return std::as_bytes(std::span(s.data(), s.size())); }

template <class T>
std::string little(T v) {
  return {reinterpret_cast<const char*>(&v), sizeof v};
}
inline std::string text(const std::string& s) { return "X" + little(std::uint32_t(s.size())) + s; }
inline std::string integer(std::int64_t v) { return "\x8a\x08" + little(v); }
inline std::string global(const std::string& module, const std::string& name) { return "c" + module + "\n" + name + "\n"; }
inline std::string tuple(const std::vector<std::int64_t>& v) {
  std::string s = "(";
  for (const std::int64_t i : v) s += integer(i);
  return s + "t";
}
inline std::string floats(const std::vector<float>& v) { return {reinterpret_cast<const char*>(v.data()), v.size() * 4}; }

// A call of _rebuild_tensor_v2 as torch.save writes it.
inline std::string tensor(const std::string& key, std::int64_t elements, const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides, std::int64_t offset = 0, const std::string& hooks = "N",
                          const std::string& type = global("torch", "FloatStorage"), const std::string& view = "N") {
  return global("torch._utils", "_rebuild_tensor_v2") + "((" + text("storage") + type + text(key) + text("cpu") +
         integer(elements) + view + "tQ" + integer(offset) + tuple(shape) + tuple(strides) + "\x89" + hooks + "tR";
}

inline std::string magic() { return "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."; }
inline std::string protocol() { return "\x80\x02M\xe9\x03."; }

// A file in the stream format: the opcodes of the object (STOP included), then storages of floats.
inline std::string stream(const std::string& object, const std::vector<std::pair<std::string, std::string>>& storages) {
  std::string s = magic() + protocol() + "\x80\x02}" + text("little_endian") + "\x88s." + "\x80\x02" + object + "\x80\x02]";
  for (const auto& [key, data] : storages) s += text(key) + "a";
  s += ".";
  for (const auto& [key, data] : storages) s += little(std::int64_t(data.size() / 4)) + data;
  return s;
}

}  // namespace bonafide::test
