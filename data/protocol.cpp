// data/protocol.cpp — lines, columns, labels.
#include "data/protocol.h"

#include <unordered_map>

#include "data/csv.h"

namespace bonafide {

Protocol read_protocol(const std::filesystem::path& path, ProtocolOptions options) {
  return parse_protocol(read_file(path), path.string(), options);
}

Protocol parse_protocol(std::string_view text, const std::string& name, ProtocolOptions options) {
  constexpr std::string_view kBlank = " \t\r\v\f";
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (text.find('\0') != std::string_view::npos) throw Error(str(name, ": is no text file (a zero byte)"));
  Protocol protocol;
  protocol.origin = name;
  std::unordered_map<std::string_view, std::size_t> first_with_label;  // keys point into `text`
  for (int line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view rest = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));

    std::vector<std::string_view> columns;
    for (;;) {
      rest.remove_prefix(std::min(rest.find_first_not_of(kBlank), rest.size()));
      if (rest.empty()) break;
      const std::size_t n = std::min(rest.find_first_of(kBlank), rest.size());
      columns.push_back(rest.substr(0, n));
      rest.remove_prefix(n);
    }
    if (columns.empty()) continue;

    if (!printable_path(columns[0])) throw Error(str(name, ":", line, ": the path holds a control character"));
    ProtocolEntry entry{std::string(columns[0]), std::nullopt, line};
    if (columns.size() == 2) entry.label = Label::parse(columns[1]);
    if (options.first_column_only) {
      protocol.labels_ignored += columns.size() > 1 && !entry.label;
    } else if (columns.size() > 2) {
      throw Error(str(name, ":", line, ": expected `path` or `path label`, found ", columns.size(), " columns"));
    } else if (columns.size() == 2 && !entry.label) {
      throw Error(str(name, ":", line, ": ", clipped(str("'", columns[1])),
                      "' is no label (expected a code such as 1_0_2, or a name such as print)"));
    }
    if (entry.label) {
      const auto [it, fresh] = first_with_label.emplace(columns[0], protocol.entries.size());
      const ProtocolEntry* before = fresh ? nullptr : &protocol.entries[it->second];
      if (before && *before->label != *entry.label)
        throw Error(str(name, ":", line, ": ", clipped(entry.path), " is ", entry.label->code(), " here and ",
                        before->label->code(), " in line ", before->line));
    }
    protocol.entries.push_back(std::move(entry));
  }
  if (protocol.entries.empty()) throw Error(str(name, ": has no entries"));
  return protocol;
}

}  // namespace bonafide
