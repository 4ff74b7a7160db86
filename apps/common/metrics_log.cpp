// apps/common/metrics_log.cpp — see metrics_log.h.
#include "apps/common/metrics_log.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/files.h"

namespace bonafide {
namespace {

// The shortest text that reads back as the same double; whole numbers without a point.
std::string number_text(double v) {
  char text[32];
  const bool whole = v == std::floor(v) && std::abs(v) < 1e15;
  const auto end =
      whole ? std::to_chars(text, text + sizeof text, std::int64_t(v)) : std::to_chars(text, text + sizeof text, v);
  return {text, end.ptr};
}

// Calls f(line) for every whole line; what comes after the last newline was cut off by a crash.
template <class F>
void for_each_line(const std::string& text, F&& f) {
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1)
    f(text.substr(begin, end - begin));
}

void append_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::app | std::ios::binary);
  out << text << std::flush;
  if (!out) throw Error(path.string() + ": cannot write: " + std::strerror(errno));
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& folder, std::vector<std::string> columns)
    : csv_(folder / "metrics.csv"), jsonl_(folder / "metrics.jsonl"), columns_(std::move(columns)) {
  BF_CHECK(std::count(columns_.begin(), columns_.end(), "step") == 1, "metrics need one column called step");
  std::string header;
  for (const std::string& c : columns_) header += (header.empty() ? "" : ",") + c;
  if (!std::filesystem::exists(csv_)) {
    write_file_atomically(csv_, header + "\n");
    write_file_atomically(jsonl_, "");
    return;
  }
  const std::string text = read_file(csv_), found = text.substr(0, text.find('\n'));
  if (found != header) throw Error(csv_.string() + ":1: columns are " + found + ", expected " + header);
}

void MetricsLog::append(const std::map<std::string, double>& values) {
  std::string csv;
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  std::size_t used = 0;
  for (const std::string& c : columns_) {
    const auto it = values.find(c);
    csv += &c == &columns_.front() ? "" : ",";
    if (it == values.end()) continue;
    ++used;
    csv += number_text(it->second);
    const bool whole = it->second == std::floor(it->second) && std::abs(it->second) < 1e15;
    if (whole)
      json[c] = std::int64_t(it->second);
    else
      json[c] = it->second;  // NaN and infinities are written as null
  }
  if (used != values.size())
    for (const auto& [name, value] : values)
      BF_CHECK(std::count(columns_.begin(), columns_.end(), name), "metric ", name, " has no column");
  BF_CHECK(values.contains("step"), "a row of metrics without its step");
  append_text(csv_, csv + "\n");
  append_text(jsonl_, json.dump() + "\n");
}

void MetricsLog::cut_back(std::int64_t step) {
  const auto column = std::find(columns_.begin(), columns_.end(), "step") - columns_.begin();
  std::string kept;
  int number = 0;
  for_each_line(read_file(csv_), [&](const std::string& line) {
    ++number;
    if (number > 1) {
      std::size_t at = 0;
      for (std::ptrdiff_t i = 0; i < column && at != line.npos; ++i) at = line.find(',', at) + 1;
      std::int64_t row = 0;
      const char* end = line.data() + line.size();
      if (std::from_chars(line.data() + at, end, row).ec != std::errc())
        throw Error(str(csv_.string(), ":", number, ": no step in column ", column + 1));
      if (row > step) return;
    }
    kept += line + "\n";
  });
  write_file_atomically(csv_, kept);

  kept.clear(), number = 0;
  for_each_line(read_file(jsonl_), [&](const std::string& line) {
    ++number;
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number())
      throw Error(str(jsonl_.string(), ":", number, ": not a row of metrics"));
    if (json["step"].get<double>() <= double(step)) kept += line + "\n";
  });
  write_file_atomically(jsonl_, kept);
}

}  // namespace bonafide
