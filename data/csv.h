// data/csv.h — CSV in and out (RFC 4180), with errors that name file, line and column.
//
// Reading accepts what spreadsheets and pandas write: quoted fields (commas, quotes doubled, line breaks), a UTF-8 byte
// order mark, LF or CRLF, a missing last line break, blank lines. The first row is the header. Every other row must
// have as many fields as the header.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/files.h"

namespace bonafide {

class CsvReader {
 public:
  // Throws: unreadable, empty, UTF-16 or binary, a column named twice.
  explicit CsvReader(const std::filesystem::path& path) : CsvReader(read_file(path), path.string()) {}
  CsvReader(std::string text, std::string name);

  const std::string& name() const { return name_; }
  const std::vector<std::string>& header() const { return header_; }
  int find(std::string_view column) const;    // -1 where there is none
  int column(std::string_view column) const;  // throws, listing the columns there are

  bool next();  // the next row; false at the end. Throws: another number of fields, an open quote
  int line() const { return row_line_; }  // where the current row begins, from 1
  std::string where() const { return str(name_, ":", row_line_); }
  const std::vector<std::string>& row() const { return row_; }

  // Fields of the current row, without surrounding blanks. A column of -1 reads as empty.
  std::string_view field(int column) const;
  // Empty, "nan" and "none" (any case) are nullopt. Anything else that is no number throws.
  std::optional<double> number(int column) const;
  std::optional<std::int64_t> integer(int column) const;

  [[noreturn]] void fail(const std::string& message) const;  // throws Error "file:line: message"

 private:
  bool parse_row();
  std::string name_, text_;
  std::size_t at_ = 0;
  int line_ = 1, row_line_ = 0;
  std::vector<std::string> header_, row_;
};

// A message that quotes a file, cut to a readable length: a field may be a megabyte long.
std::string clipped(std::string message);
// False where a path holds a control character: lists of scores have one path a line, and terminals obey such bytes.
bool printable_path(std::string_view path);
// True for empty, "nan" and "none" in any case: what pandas writes for a missing value.
bool csv_missing(std::string_view field);
// One line with its line break; fields are quoted where they have to be.
std::string csv_line(const std::vector<std::string>& fields);
// The shortest decimal that reads back as the same number; "nan" and "inf" as such.
std::string format_number(double value);
std::string format_number(float value);

// A CSV that appears complete or not at all.
class CsvWriter {
 public:
  CsvWriter(const std::filesystem::path& path, const std::vector<std::string>& header);
  void row(const std::vector<std::string>& fields);  // as many as the header has
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
  std::size_t columns_;
};

}  // namespace bonafide
