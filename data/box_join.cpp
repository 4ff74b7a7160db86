// data/box_join.cpp — see box_join.h.
#include "data/box_join.h"

#include <algorithm>
#include <map>

#include "data/csv.h"
#include "data/manifest.h"

namespace bonafide {
namespace {

struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::size_t path = 0;  // its column
};

Table read_list(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  Table t;
  if (std::string_view(text).substr(0, text.find('\n')).find(',') == std::string_view::npos) {
    t.header = {"path", "label_original", "label"};
    for (const ProtocolEntry& e : parse_protocol(text, file.string()).entries)
      t.rows.push_back({e.path, e.label ? e.label->code() : "", e.label ? (e.label->genuine() ? "0" : "1") : ""});
    return t;
  }
  CsvReader csv(text, file.string());
  t.path = std::size_t(csv.column("path"));
  t.header = csv.header();
  while (csv.next()) {
    if (csv.field(int(t.path)).empty()) csv.fail("column 'path' is empty");
    t.rows.push_back(csv.row());
  }
  if (t.rows.empty()) throw Error(file.string() + ": has a header and no rows");
  return t;
}

bool is_corner(const std::string& column) { return column == "x1" || column == "y1" || column == "x2" || column == "y2"; }

std::string trimmed(const std::string& s) {
  const std::size_t begin = s.find_first_not_of(" \t"), end = s.find_last_not_of(" \t");
  return begin == s.npos ? "" : s.substr(begin, end - begin + 1);
}

}  // namespace

std::string BoxJoin::summary() const {
  std::string s = str(rows, " rows = ", with_box, " with a box + ", no_face, " without a face + ", unknown, " not in the box file\n",
                      boxes, " boxes, ", boxes - boxes_used, " of photographs that are not in the list\n");
  if (replaced) s += "the list had box columns: replaced\n";
  return s;
}

BoxJoin join_boxes(const std::filesystem::path& list, const std::filesystem::path& boxes, const std::string& prefix,
                   const std::filesystem::path& output) {
  const BoxTable table = read_box_csv(boxes);
  std::map<std::string, std::pair<BoxTable::Entry, bool>> by_path;  // entry, used
  for (const auto& [name, entry] : table.boxes) {
    const std::string path = name.starts_with(prefix) ? name : prefix + name;
    const auto [it, fresh] = by_path.emplace(path, std::pair{entry, false});
    const Box &a = it->second.first.box, &b = entry.box;
    if (!fresh && (a.x1 != b.x1 || a.y1 != b.y1 || a.x2 != b.x2 || a.y2 != b.y2))
      throw Error(str(table.origin, ": ", path, " has two boxes, in lines ", std::min(it->second.first.line, entry.line), " and ",
                      std::max(it->second.first.line, entry.line)));
  }

  const Table in = read_list(list);
  BoxJoin join;
  join.rows = std::int64_t(in.rows.size());
  join.boxes = std::int64_t(by_path.size());
  std::vector<std::string> header;
  for (const std::string& column : in.header)
    if (is_corner(column)) join.replaced = true;
    else header.push_back(column);
  header.insert(header.end(), {"x1", "y1", "x2", "y2"});

  CsvWriter out(output, header);
  for (const auto& fields : in.rows) {
    std::vector<std::string> row;
    for (std::size_t c = 0; c < fields.size(); ++c)
      if (!is_corner(in.header[c])) row.push_back(fields[c]);
    const std::string path = trimmed(fields[in.path]);
    const auto it = by_path.find(path);
    if (it == by_path.end()) {
      ++join.unknown;
      join.rejects.push_back({path, "not in the box file"});
      row.insert(row.end(), 4, "");
    } else {
      it->second.second = true;
      const BoxTable::Entry& e = it->second.first;
      ++(e.box.valid() ? join.with_box : join.no_face);
      if (!e.box.valid()) join.rejects.push_back({path, e.reason});
      for (const float corner : {e.box.x1, e.box.y1, e.box.x2, e.box.y2}) row.push_back(e.box.valid() ? format_number(corner) : "-1");
    }
    out.row(row);
  }
  for (const auto& [path, entry] : by_path) {
    join.boxes_used += entry.second;
    if (!entry.second) join.rejects.push_back({path, "a box without a row in the list"});
  }
  out.commit();
  return join;
}

}  // namespace bonafide
