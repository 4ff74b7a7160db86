// data/box_join.h — puts the face boxes of one file to the photographs of a list: the published `bbox_to_data`.
//
// A left join: every row of the list stays, in order and as it was written; columns x1,y1,x2,y2 come last (they replace those
// the list may have had). A row without a box has -1 in all four where the box file says that there is no face, and empty
// fields where the box file does not know the photograph. Box rows that no photograph wants are named. All rows are counted.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "engine/base.h"

namespace bonafide {

struct BoxJoin {
  struct Reject {
    std::string filename, reason;
  };
  std::int64_t rows = 0, with_box = 0, no_face = 0, unknown = 0;  // of the list; rows is the sum of the others
  std::int64_t boxes = 0, boxes_used = 0;                         // of the box file
  bool replaced = false;                                          // the list had box columns
  std::vector<Reject> rejects;  // rows without a box, in list order, then unused boxes, by name
  std::string summary() const;  // for people, a few lines
};

// The list: a CSV with a column `path`, or a protocol (`path label` a line; becomes path,label_original,label). Paths of the box
// file get `prefix` in front ("Data-train/") where they do not begin with it already. Throws as the readers do, and where the
// box file and the prefix together name one photograph twice with different boxes.
BoxJoin join_boxes(const std::filesystem::path& list, const std::filesystem::path& boxes, const std::string& prefix,
                   const std::filesystem::path& output);

}  // namespace bonafide
