// tests/interop/test_published_eval.cpp — the published evaluation command, end to end: the same checkpoint, photographs,
// boxes and protocol through PyTorch and OpenCV and through `bonafide eval`, and the two submission files side by side.
#include <cmath>
#include <sstream>

#include "engine/files.h"
#include "tests/interop/python.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

bool no_published() {
  static const bool missing = python_lacks("\"torch\", \"timm\", \"cv2\"");
  return missing;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> v;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) v.push_back(line);
  return v;
}

}  // namespace

TEST_CASE("interop: submission.txt is the published evaluation's" * doctest::skip(no_published())) {
  for (const std::string backbone : {"convnextv2_atto", "convnextv2_tiny"}) {
    const TempFolder folder;
    const auto in = [&](const std::string& name) { return "'" + (folder / name).string() + "'"; };
    run_python("tests/interop/published_side.py", in("") + " " + backbone);
    run_python("tests/reference/published_eval.py", in("zip.pth") + " " + in("protocol.txt") + " " + in("") + " " + in("boxes.csv") +
                                                        " " + in("theirs.txt") + " --backbone " + backbone);
    const std::string theirs = read_file(folder / "theirs.txt");
    std::string first;
    for (const std::string format : {"zip", "stream", "module"}) {
      CAPTURE(format);
      const std::string command = "'" BF_BINARY_DIR "/bin/bonafide-eval' --checkpoint " + in(format + ".pth") + " --protocol " +
                                  in("protocol.txt") + " --root-dir " + in("") + " --bbox-csv " + in("boxes.csv") + " --output " +
                                  in(format + ".txt") + " --backbone " + backbone + " > " + in("log") + " 2>&1";
      REQUIRE_MESSAGE(std::system(command.c_str()) == 0, read_file(folder / "log"));
      const std::string ours = read_file(folder / (format + ".txt"));
      if (format == "zip") {
        first = ours;
        const auto a = lines(ours), b = lines(theirs);
        REQUIRE(a.size() == 50);
        REQUIRE(b.size() == 50);
        int alike = 0;
        double worst = 0;
        for (std::size_t i = 0; i < a.size(); ++i) {
          alike += a[i] == b[i];
          const auto blank = b[i].rfind(' ');
          REQUIRE(a[i].substr(0, blank) == b[i].substr(0, blank));
          const double difference = std::abs(std::stod(a[i].substr(blank)) - std::stod(b[i].substr(blank)));
          worst = std::max(worst, difference);
          CHECK_MESSAGE(difference <= 1.0001e-5, a[i], " and ", b[i]);
        }
        MESSAGE(backbone, ": ", alike, " of 50 lines alike, the rest within ", worst);
        CHECK(alike >= 50 * 0.99);
        CHECK((ours.back() == '\n') == (theirs.back() == '\n'));
      } else {
        CHECK(ours == first);
      }
    }
  }
}
