// tests/fuzz/csv.cpp — CsvReader: whatever it accepts, written out and read again, is the same table.
#include "data/csv.h"

#include <algorithm>

#include "tests/fuzz/target.h"

namespace bonafide::fuzz {
namespace {

using Rows = std::vector<std::vector<std::string>>;

Rows read(const std::string& text) {
  CsvReader csv(text, "fuzz.csv");
  Rows rows{csv.header()};
  int line = 0;
  while (csv.next()) {
    must(csv.line() > line, "line ", csv.line(), " after line ", line);
    line = csv.line();
    must(csv.row().size() == csv.header().size(), "a row of another width");
    for (int c = 0; c < std::min(4, int(csv.row().size())) && rows.size() < 4; ++c) {  // a refusal is slow
      accepts([&] { csv.number(c); });
      accepts([&] { csv.integer(c); });
    }
    rows.push_back(csv.row());
  }
  return rows;
}

void run(const std::string& text) {
  Rows rows;
  if (!accepts([&] { rows = read(text); })) return;
  std::string written;
  for (const auto& row : rows) written += csv_line(row);
  Rows again;
  must(accepts([&] { again = read(written); }), "refuses what it wrote: ", written);
  must(rows == again, "reads something else than it wrote: ", written);
}

const Register target("csv", run,
                      {"a,b\n1,2\n3,4\n", "\xEF\xBB\xBFpath,label\r\n\"x,\"\"y\"\"\",\"two\nlines\"\r\n\r\n", "a\n5\" tall",
                       "x,y\n1.5e1,NaN\n-7,none\n", "a,b\r1,2\r", "\"a", "a,b\n\"1\"x,2\n", "\xFF\xFE" "a"});

}  // namespace
}  // namespace bonafide::fuzz
