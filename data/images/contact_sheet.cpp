// data/images/contact_sheet.cpp — a grid drawn with OpenCV.
#include "data/images/contact_sheet.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "data/images/opencv.h"

namespace bonafide {
namespace {

constexpr int kFrame = 3, kGap = 4, kText = 26, kTitle = 24;
constexpr double kScale = 0.34;
const cv::Scalar kPaper(24, 24, 28), kInk(230, 230, 230), kGreen(40, 190, 90), kRed(225, 60, 60), kYellow(250, 210, 60);

void write(cv::Mat& page, const std::string& text, int x, int y, const cv::Scalar& colour, double scale = kScale) {
  cv::putText(page, text, {x, y}, cv::FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv::LINE_AA);
}
int width_of(const std::string& text) {
  int baseline = 0;
  return cv::getTextSize(text, cv::FONT_HERSHEY_SIMPLEX, kScale, 1, &baseline).width;
}

}  // namespace

Image contact_sheet(const std::vector<SheetTile>& tiles, const SheetOptions& options) {
  BF_CHECK(!tiles.empty(), "a contact sheet without tiles");
  BF_CHECK(options.columns >= 1 && options.tile >= 32, "columns ", options.columns, ", tile ", options.tile);
  images::single_threaded_opencv();
  const int n = int(tiles.size()), columns = std::min(options.columns, n), rows = ceil_div(n, columns);
  const int cell_w = options.tile + 2 * kFrame + kGap, cell_h = options.tile + 2 * kFrame + kText + kGap;
  const int top = kGap + (options.title.empty() ? 0 : kTitle);
  const int title_w = options.title.empty() ? 0 : 2 * kGap + 2 * width_of(options.title);
  Image sheet(top + rows * cell_h, std::max(kGap + columns * cell_w, title_w));
  cv::Mat page = images::as_mat(sheet);
  page.setTo(kPaper);
  if (!options.title.empty()) write(page, options.title, kGap, kGap + 15, kInk, 0.45);

  for (int i = 0; i < n; ++i) {
    const SheetTile& tile = tiles[std::size_t(i)];
    BF_CHECK(!tile.image.empty(), "tile ", i, " (", tile.caption, ") has no pixels");
    const int x = kGap + i % columns * cell_w, y = top + i / columns * cell_h, side = options.tile + 2 * kFrame;
    cv::rectangle(page, {x, y, side, side}, tile.called_attack ? kRed : kGreen, cv::FILLED);
    cv::rectangle(page, {x + kFrame, y + kFrame, options.tile, options.tile}, kPaper, cv::FILLED);
    const double fit = double(options.tile) / std::max(tile.image.width, tile.image.height);
    const int w = std::max(1, int(std::lround(tile.image.width * fit))),
              h = std::max(1, int(std::lround(tile.image.height * fit)));
    cv::Mat small;
    cv::resize(images::as_mat(tile.image), small, {w, h}, 0, 0, fit < 1 ? cv::INTER_AREA : cv::INTER_LINEAR);
    small.copyTo(page(cv::Rect(x + kFrame + (options.tile - w) / 2, y + kFrame + (options.tile - h) / 2, w, h)));

    char score[16];
    std::snprintf(score, sizeof score, "%.3f", tile.score);
    write(page, tile.caption, x + 1, y + side + 11, kInk);
    write(page, score, x + side - width_of(score), y + side + 11, kInk);
    write(page, tile.attack ? "attack" : "genuine", x + 1, y + side + 23, tile.attack ? kRed : kGreen);
    if (tile.attack != tile.called_attack) write(page, "wrong", x + side - width_of("wrong"), y + side + 23, kYellow);
  }
  return sheet;
}

}  // namespace bonafide
