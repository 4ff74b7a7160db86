// tests/host/test_csv.cpp — what spreadsheets write is read, what is broken names file and line.
#include "data/csv.h"

#include <cmath>
#include <limits>

#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using test::expect_throw;
using Row = std::vector<std::string>;

namespace {
std::vector<Row> all(CsvReader csv) {
  std::vector<Row> rows;
  while (csv.next()) rows.push_back(csv.row());
  return rows;
}
CsvReader at_first_row(const std::string& text) {
  CsvReader csv(text, "t.csv");
  CHECK(csv.next());
  return csv;
}
}  // namespace

TEST_CASE("csv: quotes, byte order mark, CRLF, blank lines, no last line break") {
  CHECK(all({"a,b\n1,2\n3,4\n", "t"}) == std::vector<Row>{{"1", "2"}, {"3", "4"}});
  CHECK(all({"\xEF\xBB\xBF"
             "a,b\r\n1,2\r\n\r\n3,",
             "t"}) == std::vector<Row>{{"1", "2"}, {"3", ""}});
  CHECK(all({"a,b\n\"x,\"\"y\"\"\",\"two\nlines\"\n\"\",z", "t"}) ==
        std::vector<Row>{{"x,\"y\"", "two\nlines"}, {"", "z"}});
  CHECK(all({"a\n5\" tall\n", "t"}) == std::vector<Row>{{"5\" tall"}});  // a quote inside an unquoted field is itself
  CHECK(all({"a,b\r1,2\r", "t"}) == std::vector<Row>{{"1", "2"}});       // old Macintosh
  CHECK(all({"a,b\n", "t"}).empty());
  CHECK(CsvReader(" a , b\n", "t").header() == Row{"a", "b"});
  CHECK(CsvReader("\xEF\xBB\xBF\"a\",b\n", "t").header() == Row{"a", "b"});
}

TEST_CASE("csv: lines are counted through quoted line breaks and blank lines") {
  CsvReader csv("a,b\n\n\"x\n\ny\",1\n2,3\n", "t.csv");
  CHECK(csv.next());
  CHECK(csv.line() == 3);
  CHECK(csv.next());
  CHECK(csv.line() == 6);
  CHECK(csv.where() == "t.csv:6");
  CHECK(!csv.next());
}

TEST_CASE("csv: columns by name, numbers, missing values") {
  CsvReader csv = at_first_row("path,x,y,n\n a.png , 1.5e1,NaN,7\n");
  CHECK(csv.column("x") == 1);
  CHECK(csv.find("z") == -1);
  CHECK(csv.field(0) == "a.png");
  CHECK(csv.field(-1).empty());
  CHECK(*csv.number(1) == 15.0);
  CHECK(!csv.number(2));
  CHECK(!csv.number(-1));
  CHECK(*csv.integer(3) == 7);
  expect_throw("t.csv:1: no column 'z'; there are: path, x, y, n", [&] { csv.column("z"); });
  expect_throw("t.csv:2: column 'path': 'a.png' is no number", [&] { csv.number(0); });
  expect_throw("t.csv:2: column 'x': '1.5e1' is no whole number", [&] { csv.integer(1); });
  expect_throw("'1,5' is no number", [] { at_first_row("x\n\"1,5\"\n").number(0); });
  expect_throw("'inf' is no number", [] { at_first_row("x\ninf\n").number(0); });
}

TEST_CASE("csv: broken files say where") {
  expect_throw("t.csv:3: expected 2 fields as in the header, found 3", [] { all({"a,b\n1,2\n1,2,3\n", "t.csv"}); });
  expect_throw("t.csv:2: expected 2 fields as in the header, found 1", [] { all({"a,b\n1\n", "t.csv"}); });
  expect_throw("t.csv:2: a quote is opened and never closed", [] { all({"a,b\n1,\"2\n3,4\n", "t.csv"}); });
  expect_throw("t.csv:2: expected a comma after the closing quote of field 1", [] {
    all({"a,b\n\"1\"x,2\n", "t.csv"});
  });
  expect_throw("t.csv:1: column 'a' appears twice", [] { CsvReader("a,b,a\n", "t.csv"); });
  expect_throw("t.csv: is empty", [] { CsvReader("", "t.csv"); });
  expect_throw("t.csv: is empty", [] { CsvReader("\n\n", "t.csv"); });
  expect_throw("t.csv: is UTF-16", [] {
    CsvReader(std::string("\xFF\xFE"
                          "a\0",
                          4),
              "t.csv");
  });
  expect_throw("t.csv:2: is no text file", [] { CsvReader(std::string("a\n\0", 3), "t.csv"); });
  expect_throw("missing.csv: cannot read: No such file",
               [] { CsvReader csv(std::filesystem::path("/nowhere/missing.csv")); });
}

TEST_CASE("csv: what is written reads back") {
  test::TempFolder dir;
  const std::vector<Row> rows = {{"plain", ""}, {"com,ma", "quo\"te"}, {"line\nbreak", " blank "}, {"", "\r"}};
  CsvWriter w(dir / "o.csv", {"a", "b"});
  for (const Row& r : rows) w.row(r);
  expect_throw("a row of 3 fields under a header of 2", [&] { w.row({"1", "2", "3"}); });
  w.commit();
  CHECK(all(CsvReader(dir / "o.csv")) == rows);
  CHECK(csv_line({"a", "b c", "d,e"}) == "a,b c,\"d,e\"\n");
  CHECK(csv_line({""}) == "\"\"\n");
}

TEST_CASE("csv: marks of an encoding inside the first field survive a round trip") {
  for (const char* mark : {"\xEF\xBB\xBF", "\xFF\xFE", "\xFE\xFF"}) {
    const CsvReader csv(csv_line({mark, "b"}), "t");
    CHECK(csv.header() == Row{mark, "b"});
  }
  CHECK(CsvReader("\xEF\xBB\xBF\xEF\xBB\xBF" "a,b\n", "t").header() == Row{"\xEF\xBB\xBF" "a", "b"});  // only one is the file's
}

TEST_CASE("csv: lines of a megabyte, by one field or by many, are read in a moment and quoted in part") {
  constexpr std::size_t kMega = 1 << 20;
  const std::string wide(kMega, 'x');
  CHECK(all({"a,b\n" + wide + ",\"" + wide + "\"\n", "t"}) == std::vector<Row>{{wide, wide}});
  CsvReader csv = at_first_row("a\n" + wide + "\n");
  const auto message = [](const auto& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  CHECK(message([&] { csv.number(0); }).starts_with("t.csv:2: column 'a': 'xxx"));
  CHECK(message([&] { csv.number(0); }).size() < 2000);
  // Half a million columns: looking for one named twice must not compare each with each.
  std::string many;
  for (int i = 0; i < 500'000; ++i) many += str("c", i, ",");
  CHECK(CsvReader(many + "last", "t").header().size() == 500'001);
  CHECK(message([&] { CsvReader(many + "c7", "t"); }) == "t:1: column 'c7' appears twice");
  CHECK(message([&] { CsvReader(many + "last", "t").column("absent"); }).size() < 2000);
  expect_throw("t.csv:2: a quote is opened and never closed", [&] { all({"a\n\"" + wide, "t.csv"}); });
}

TEST_CASE("csv: numbers are written as short as they can be read back") {
  CHECK(format_number(0.1) == "0.1");
  CHECK(format_number(0.1f) == "0.1");
  CHECK(format_number(2.0 / 3) == "0.6666666666666666");
  CHECK(format_number(-3.0) == "-3");
  CHECK(format_number(std::nan("")) == "nan");
}
