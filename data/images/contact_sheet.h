// data/images/contact_sheet.h — faces, scores and verdicts on one page.
#pragma once
#include <string>
#include <vector>

#include "data/image.h"

namespace bonafide {

struct SheetTile {
  Image image;
  std::string caption;         // the species, a name
  double score = 0;            // P(attack)
  bool attack = false;         // what it is
  bool called_attack = false;  // the verdict
};

struct SheetOptions {
  std::string title;
  int columns = 11;
  int tile = 112;  // images are fitted into squares of this side, aspect kept
};

// A grid in the tiles' order. The frame is the verdict: green for "genuine", red for "attack"; a wrong one is marked
// "wrong" in yellow. Below each face: caption, truth and score. Throws on no tiles and on a tile without pixels.
Image contact_sheet(const std::vector<SheetTile>& tiles, const SheetOptions& options = {});

}  // namespace bonafide
