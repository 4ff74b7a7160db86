// engine/digest.cpp
#include "engine/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdio>
#include <memory>

#include "engine/base.h"

namespace bonafide {

std::string file_digest(const std::filesystem::path& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::vector<char> buffer(1 << 20);
  for (std::size_t n = 1; file && n > 0;) {
    n = std::fread(buffer.data(), 1, buffer.size(), file.get());
    XXH3_128bits_update(state.get(), buffer.data(), n);
  }
  if (!file || std::ferror(file.get())) throw Error(str(path.string(), ": cannot be read"));
  const XXH128_hash_t h = XXH3_128bits_digest(state.get());
  char text[48];
  std::snprintf(text, sizeof text, "xxh3-128:%016llx%016llx", static_cast<unsigned long long>(h.high64),
                static_cast<unsigned long long>(h.low64));
  return text;
}

std::uint64_t digest64(std::string_view bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace bonafide
