// data/csv.cpp — a state machine over the whole text; nothing is clever, everything is checked.
#include "data/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_set>

namespace bonafide {
namespace {

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& w : words) all += (all.empty() ? "" : ", ") + w;
  return all;
}

}  // namespace

CsvReader::CsvReader(std::string text, std::string name) : name_(std::move(name)), text_(std::move(text)) {
  if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
  if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF"))
    throw Error(str(name_, ": is UTF-16; save it as UTF-8"));
  if (const std::size_t zero = text_.find('\0'); zero != std::string::npos)
    throw Error(str(name_, ":", 1 + std::count(text_.begin(), text_.begin() + std::ptrdiff_t(zero), '\n'),
                    ": is no text file (a zero byte)"));
  if (!parse_row()) throw Error(str(name_, ": is empty, expected a header line"));
  header_ = std::move(row_);
  for (std::string& h : header_) h = std::string(trim(h));
  std::unordered_set<std::string_view> seen;
  for (const std::string& h : header_)
    if (!h.empty() && !seen.insert(h).second) fail(str("column '", h, "' appears twice"));
}

int CsvReader::find(std::string_view column) const {
  const auto it = std::find(header_.begin(), header_.end(), column);
  return it == header_.end() ? -1 : int(it - header_.begin());
}

int CsvReader::column(std::string_view column) const {
  const int at = find(column);
  if (at < 0) throw Error(str(name_, ":1: ", clipped(str("no column '", column, "'; there are: ", joined(header_)))));
  return at;
}

void CsvReader::fail(const std::string& message) const { throw Error(str(where(), ": ", clipped(message))); }

bool CsvReader::next() {
  if (!parse_row()) return false;
  if (row_.size() != header_.size())
    fail(str("expected ", header_.size(), " fields as in the header, found ", row_.size()));
  return true;
}

// One row into row_, skipping blank lines. `at_` ends up behind the line break.
bool CsvReader::parse_row() {
  const auto line_break = [&] {  // its length at at_: 0, 1 or 2
    if (at_ < text_.size() && text_[at_] == '\n') return 1;
    if (at_ < text_.size() && text_[at_] == '\r') return at_ + 1 < text_.size() && text_[at_ + 1] == '\n' ? 2 : 1;
    return 0;
  };
  while (at_ < text_.size())
    if (const int n = line_break())
      at_ += std::size_t(n), ++line_;
    else
      break;
  if (at_ >= text_.size()) return false;

  row_line_ = line_;
  row_.clear();
  for (;;) {
    std::string field;
    if (at_ < text_.size() && text_[at_] == '"') {
      for (++at_;; ++at_) {
        if (at_ >= text_.size()) fail("a quote is opened and never closed");
        if (text_[at_] == '"') {
          if (++at_ >= text_.size() || text_[at_] != '"') break;
        } else if (text_[at_] == '\n') {
          ++line_;
        }
        field += text_[at_];
      }
      if (at_ < text_.size() && text_[at_] != ',' && !line_break())
        fail(str("expected a comma after the closing quote of field ", row_.size() + 1));
    } else {
      const std::size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
      field = text_.substr(at_, end - at_);
      at_ = end;
    }
    row_.push_back(std::move(field));
    if (at_ >= text_.size()) return true;
    if (const int n = line_break()) {
      at_ += std::size_t(n), ++line_;
      return true;
    }
    ++at_;  // the comma
  }
}

std::string_view CsvReader::field(int column) const {
  return column < 0 ? std::string_view() : trim(row_[std::size_t(column)]);
}

std::optional<double> CsvReader::number(int column) const {
  const std::string_view s = field(column);
  if (csv_missing(s)) return std::nullopt;
  double v = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (error != std::errc() || end != s.data() + s.size() || !std::isfinite(v))
    fail(str("column '", header_[std::size_t(column)], "': '", s, "' is no number"));
  return v;
}

std::optional<std::int64_t> CsvReader::integer(int column) const {
  const std::string_view s = field(column);
  if (csv_missing(s)) return std::nullopt;
  std::int64_t v = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (error != std::errc() || end != s.data() + s.size())
    fail(str("column '", header_[std::size_t(column)], "': '", s, "' is no whole number"));
  return v;
}

std::string clipped(std::string message) {
  constexpr std::size_t kMost = 1000;
  if (message.size() > kMost) message.replace(kMost, std::string::npos, "…");
  return message;
}

bool printable_path(std::string_view path) {
  return std::none_of(path.begin(), path.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
}

bool csv_missing(std::string_view s) {
  if (s.empty()) return true;
  std::string lower(s);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  return lower == "nan" || lower == "none";
}

std::string csv_line(const std::vector<std::string>& fields) {
  std::string line;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::string& f = fields[i];
    if (i) line += ',';
    // Blanks at the ends are quoted too: some readers drop them. A lone empty field would read as a blank line, and the
    // marks of an encoding at the start of the first field as the file's own.
    const bool quote = (i == 0 && (f.starts_with("\xEF\xBB\xBF") || f.starts_with("\xFF\xFE") || f.starts_with("\xFE\xFF"))) || f.find_first_of(",\"\r\n") != std::string::npos || (f.empty() && fields.size() == 1) ||
                       (!f.empty() && (f.front() == ' ' || f.back() == ' '));
    if (!quote) {
      line += f;
      continue;
    }
    line += '"';
    for (const char c : f) line += c == '"' ? std::string("\"\"") : std::string(1, c);
    line += '"';
  }
  return line += '\n';
}

std::string format_number(double value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}
std::string format_number(float value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

CsvWriter::CsvWriter(const std::filesystem::path& path, const std::vector<std::string>& header)
    : file_(path), columns_(header.size()) {
  file_.write(csv_line(header));
}

void CsvWriter::row(const std::vector<std::string>& fields) {
  BF_CHECK(fields.size() == columns_, "a row of ", fields.size(), " fields under a header of ", columns_);
  file_.write(csv_line(fields));
}

}  // namespace bonafide
