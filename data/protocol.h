// data/protocol.h — the published protocol files: `path label` a line, separated by blanks.
//
//   Data-train/00000.png 1_0_2
//   Data-test/00000.png            (one column: unlabelled, legal)
//
// Any other number of columns is an error that names file and line, and so is a second column that is no label.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/label.h"
#include "engine/base.h"

namespace bonafide {

struct ProtocolEntry {
  std::string path;            // as written; joined with the root folder by whoever opens it
  std::optional<Label> label;  // none: unlabelled
  int line = 0;                // from 1
};

struct Protocol {
  std::string origin;                  // the file
  std::vector<ProtocolEntry> entries;  // in file order, never empty
  std::int64_t labels_ignored = 0;     // first_column_only: lines whose other columns were not `label`
};

struct ProtocolOptions {
  // The published eval.py takes the first column of any line. With this a line of two columns still gives its label
  // where that is one; all other lines are unlabelled and counted.
  bool first_column_only = false;
};

// Throws: unreadable, no entries, a wrong column count, a wrong label, one path with two different labels.
Protocol read_protocol(const std::filesystem::path& path, ProtocolOptions options = {});
Protocol parse_protocol(std::string_view text, const std::string& name, ProtocolOptions options = {});

}  // namespace bonafide
