// tests/host/test_pickle.cpp — the pickle machine: what it builds, and what it refuses before it costs anything.
#include "engine/pickle.h"

#include "tests/support/pickles.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
using Kind = PickleValue::Kind;

namespace {

Pickle parse(const std::string& opcodes) { return read_pickle(as_bytes(opcodes), "p"); }
void refuses(const std::string& opcodes, const std::string& part) {
  expect_throw("p: pickle: byte " + part, [&] { parse(opcodes); });
}
std::string repeated(const std::string& s, std::size_t n) {
  std::string r;
  for (std::size_t i = 0; i < n; ++i) r += s;
  return r;
}

// The value as Python would print it; calls as name<arguments>.
std::string show(const Pickle& p, PickleRef i) {
  const PickleValue& v = p[i];
  const auto items = [&](const char* open, const char* close, bool pairs) {
    std::string s = open;
    for (std::size_t j = 0; j < v.items.size(); ++j) s += (j == 0 ? "" : pairs && j % 2 ? ": " : ", ") + show(p, v.items[j]);
    return s + close;
  };
  switch (v.kind) {
    case Kind::none: return "None";
    case Kind::boolean: return v.integer ? "True" : "False";
    case Kind::integer: return std::to_string(v.integer);
    case Kind::long_integer: return str("long of ", v.text.size());
    case Kind::real: return str(v.real);
    case Kind::text: return "'" + std::string(v.text) + "'";
    case Kind::bytes: return "b'" + std::string(v.text) + "'";
    case Kind::list: return items("[", "]", false);
    case Kind::tuple: return items("(", ")", false);
    case Kind::set: return items("{", "}", false);
    case Kind::dict: return items("{", "}", true);
    case Kind::global: return std::string(v.module) + "." + std::string(v.text);
    case Kind::object: return show(p, v.callable) + "<" + show(p, v.argument) + ">" + (v.items.empty() ? "" : items("{", "}", true));
  }
  return "?";
}
void gives(const std::string& opcodes, const std::string& want) {
  const Pickle p = parse(opcodes);
  CHECK(show(p, p.root) == want);
  CHECK(p.size == opcodes.size());
}

}  // namespace

TEST_CASE("pickle: every opcode that is read") {
  gives("\x80\x02N.", "None");
  gives("\x88\x89\x86.", "(True, False)");
  gives("(J\xff\xff\xff\xffJ\xff\xff\xff\x7fK\xffM\xff\xfft.", "(-1, 2147483647, 255, 65535)");
  gives("(\x8a\x00\x8a\x01\xff\x8a\x01\x7f\x8a\x02\x00\x80\x8a\x03\x00\x00\x01t."s, "(0, -1, 127, -32768, 65536)");
  gives("(\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80\x8b\x02\x00\x00\x00\x34\x12\x8a\x09.........t."s, "(-9223372036854775808, 4660, long of 9)");
  gives("G\x3f\xf8\x00\x00\x00\x00\x00\x00."s, "1.5");
  gives("(" + text("ab") + "\x8c\x01z\x8d" + little(std::uint64_t(2)) + "xyU\x01uT" + little(2) + "tt" "t.", "('ab', 'z', 'xy', 'u', 'tt')");
  gives("(B" + little(1) + "aC\x01" "b\x8e" + little(std::uint64_t(1)) + "c\x96" + little(std::uint64_t(1)) + "dt.", "(b'a', b'b', b'c', b'd')");
  gives("()]}\x8ft.", "((), [], {}, {})");
  gives("K\x01\x85K\x01K\x02\x86K\x01K\x02K\x03\x87\x87.", "((1), (1, 2), (1, 2, 3))");
  gives("(K\x01K\x02l(K\x03K\x04" "d(K\x05\x91\x87.", "([1, 2], {3: 4}, {5})");
  gives("]K\x01" "a(K\x02K\x03" "e.", "[1, 2, 3]");
  gives("}K\x01K\x02s(K\x03K\x04K\x05K\x06u.", "{1: 2, 3: 4, 5: 6}");
  gives("\x8f(K\x01K\x02\x90.", "{1, 2}");
  gives("K\x01(K\x02K\x03" "1K\x04" "0(0.", "1");  // POP_MARK, POP of a value and of a mark
  gives("K\x07" "2\x86.", "(7, 7)");
  gives("(K\x01q\x00K\x02r\x00\x01\x00\x00K\x03\x94h\x00j\x00\x01\x00\x00h\x02t."s, "(1, 2, 3, 1, 2, 3)");
  gives("\x95\x02\x00\x00\x00\x00\x00\x00\x00K\x01."s, "1");
  gives(global("a.b", "C") + text("m") + text("n") + "\x93\x86.", "(a.b.C, m.n)");
  gives(global("os", "system") + text("x") + "\x85R.", "os.system<('x')>");
  gives(global("m", "C") + ")\x81}" + text("a") + "K\x01sb.", "m.C<()>");  // BUILD: attributes go
  gives(global("m", "C") + ")}\x92.", "m.C<()>");
  gives(global("m", "C") + ")RK\x01K\x02s.", "m.C<()>{1: 2}");
  gives(text("id") + "Q.", "None<'id'>");
  const Pickle cycle = parse("]q\x05h\x05" "a.");
  CHECK(cycle.result().items == std::vector<PickleRef>{cycle.root});
  CHECK(parse("N.more").size == 2);
}

TEST_CASE("pickle: what is refused, and where") {
  refuses("", "0: truncated");
  refuses("K\x01", "2: truncated");
  refuses("\x80\x01N.", "0: protocol 1, expected 2 to 5");
  refuses("\x80\x06N.", "0: protocol 6");
  refuses("I1\n.", "0: opcode 73 is not read");
  refuses("NNi", "2: opcode 105");
  refuses("\x82\x01.", "0: opcode 130");
  refuses(".", "0: the stack is empty");
  refuses("NN.", "2: values left on the stack");
  refuses("(N.", "2: values left on the stack");
  refuses("t.", "0: no mark");
  refuses("N(\x85.", "2: the stack is empty");  // nothing below the mark is taken
  refuses("N(0", "3: truncated");
  refuses("NK\x01" "a.", "3: expected a list to add to, found a None");
  refuses("]K\x01K\x02s.", "5: expected a dict to add to, found a list");
  refuses("}(K\x01u.", "4: a key without a value");
  refuses("(K\x01" "d.", "3: a key without a value");
  refuses("h\x05.", "0: memo entry 5 was never stored");
  refuses("K\x01K\x02\x93.", "4: a global whose name is no text");
  refuses(global("os", "system") + text("x") + "R.", "17: arguments that are a str");
  refuses("cos\nsystem", "0: truncated: a line without an end");
  refuses("b.", "0: the stack is empty");
  refuses("Nb.", "1: the stack is empty");
  refuses("\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.", "0: truncated: a frame of");
}

TEST_CASE("pickle: lengths without end, nesting without end, values without end") {
  refuses("\x8b\xff\xff\xff\xffx", "0: a number of -1 bytes");
  refuses("\x8b\xff\xff\xff\x7fx", "0: truncated: 2147483647 bytes wanted, 1 left");
  refuses("\x8d\xff\xff\xff\xff\xff\xff\xff\xffx", "0: truncated: 18446744073709551615 bytes wanted, 1 left");
  refuses("\x8e\xff\xff\xff\xff\xff\xff\xff\x7fx", "0: truncated");
  refuses("X\xff\xff\xff\xffx", "0: truncated");
  const std::size_t deep = 1'000'000;
  CHECK(parse(repeated("]", deep) + repeated("a", deep - 1) + ".").values.size() == deep + 3);
  CHECK(parse(")" + repeated("\x85", deep) + ".").values.size() == deep + 4);
  // Lists of themselves twice, thirty times over: a billion elements to whoever would copy them.
  std::string bomb = "]";
  for (int i = 0; i < 30; ++i) bomb += "q" + std::string(1, char(i)) + "]h" + std::string(1, char(i)) + "ah" + std::string(1, char(i)) + "a";
  const Pickle p = parse("(" + bomb + "t.");
  CHECK(p.values.size() == 35);
  refuses(repeated("]", kMaxPickleValues) + ".", str(kMaxPickleValues - 3, ": more than ", kMaxPickleValues, " values"));
  refuses("N" + repeated("2", kMaxPickleValues) + ".", str(kMaxPickleValues, ": more than ", kMaxPickleValues, " values on the stack"));
  refuses(repeated("(", kMaxPickleValues + 1) + ".", str(kMaxPickleValues, ": more than ", kMaxPickleValues, " values on the stack"));
  refuses("N" + repeated("\x94", kMaxPickleValues + 1) + ".", str(kMaxPickleValues + 1, ": more than ", kMaxPickleValues, " memo entries"));
}
