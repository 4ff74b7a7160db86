// engine/pickle.cpp — the stack machine of engine/pickle.h.
#include "engine/pickle.h"

#include <bit>
#include <cstring>
#include <unordered_map>

namespace bonafide {
namespace {

using Kind = PickleValue::Kind;
constexpr PickleRef kFalse = 1, kTrue = 2;

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {
    for (const Kind k : {Kind::none, Kind::boolean, Kind::boolean}) values_.push_back({.kind = k});
    values_[kTrue].integer = 1;
  }

  Pickle run() {
    while (!step()) {}
    const PickleRef root = pop();
    if (!stack_.empty() || !marks_.empty()) fail("values left on the stack at STOP");
    return {std::move(values_), root, at_};
  }

 private:
  template <class... Ts>
  [[noreturn]] void fail(const Ts&... what) const {
    throw Error(str(where_, ": pickle: byte ", op_at_, ": ", what...));
  }

  // ---- input

  std::string_view take(std::uint64_t n) {
    if (n > bytes_.size() - at_) fail("truncated: ", n, " bytes wanted, ", bytes_.size() - at_, " left");
    const auto* p = reinterpret_cast<const char*>(bytes_.data()) + at_;
    at_ += std::size_t(n);
    return {p, std::size_t(n)};
  }
  std::uint64_t number(int n) {  // little-endian, n <= 8 bytes
    std::uint64_t v = 0;
    const std::string_view s = take(std::uint64_t(n));
    for (int i = 0; i < n; ++i) v |= std::uint64_t(std::uint8_t(s[std::size_t(i)])) << (8 * i);
    return v;
  }
  std::string_view line() {
    const auto* p = reinterpret_cast<const char*>(bytes_.data()) + at_;
    const void* end = std::memchr(p, '\n', bytes_.size() - at_);
    if (!end) fail("truncated: a line without an end");
    const std::string_view s = take(std::uint64_t(static_cast<const char*>(end) - p) + 1);
    return s.substr(0, s.size() - 1);
  }

  // ---- stack

  void push(PickleRef v) { stack_.push_back(v); }
  PickleValue& make(Kind kind) {
    if (values_.size() >= kMaxPickleValues) fail("more than ", kMaxPickleValues, " values: not a file of weights");
    push(PickleRef(values_.size()));
    values_.push_back({.kind = kind});
    return values_.back();
  }
  void make_integer(std::int64_t v) { make(Kind::integer).integer = v; }
  void make_text(Kind kind, std::string_view s) { make(kind).text = s; }
  void make_long(std::string_view s) {
    if (s.size() > 8) return make_text(Kind::long_integer, s);
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < s.size(); ++i) v |= std::uint64_t(std::uint8_t(s[i])) << (8 * i);
    if (!s.empty() && s.size() < 8 && (s.back() & 0x80)) v |= ~std::uint64_t(0) << (8 * s.size());  // sign
    make_integer(std::int64_t(v));
  }
  void need(std::size_t n) const {  // values above the last mark
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() - floor < n) fail("the stack is empty");
  }
  PickleRef pop() {
    need(1);
    const PickleRef v = stack_.back();
    stack_.pop_back();
    return v;
  }
  PickleRef top() const {
    need(1);
    return stack_.back();
  }
  std::vector<PickleRef> pop_to_mark() {
    if (marks_.empty()) fail("no mark on the stack");
    const auto from = stack_.begin() + std::ptrdiff_t(marks_.back());
    std::vector<PickleRef> v(from, stack_.end());
    stack_.erase(from, stack_.end());
    marks_.pop_back();
    return v;
  }
  void make_items(Kind kind, std::vector<PickleRef> items) {
    if (kind == Kind::dict && items.size() % 2) fail("a key without a value");
    make(kind).items = std::move(items);
  }
  void make_tuple(std::size_t n) {
    need(n);
    std::vector<PickleRef> items(stack_.end() - std::ptrdiff_t(n), stack_.end());
    stack_.resize(stack_.size() - n);
    make_items(Kind::tuple, std::move(items));
  }
  // Adds to the container on top of the stack. A class that is not known here may be any kind of container.
  void extend(Kind kind, const std::vector<PickleRef>& items) {
    PickleValue& container = values_[top()];
    if (container.kind != kind && container.kind != Kind::object)
      fail("expected a ", name_of(kind), " to add to, found a ", name_of(container.kind));
    if (kind == Kind::dict && items.size() % 2) fail("a key without a value");
    container.items.insert(container.items.end(), items.begin(), items.end());
  }
  void extend_last(Kind kind, std::size_t n) {
    need(n);
    const std::vector<PickleRef> items(stack_.end() - std::ptrdiff_t(n), stack_.end());
    stack_.resize(stack_.size() - n);
    extend(kind, items);
  }
  void make_global(std::string_view module, std::string_view name) {
    PickleValue& g = make(Kind::global);
    g.module = module, g.text = name;
  }
  void make_object(PickleRef callable, PickleRef argument) {
    PickleValue& o = make(Kind::object);
    o.callable = callable, o.argument = argument;
  }
  void make_call(int arguments) {  // callable and arguments are on the stack
    if (arguments == 2) pop();     // NEWOBJ_EX: keywords
    const PickleRef argument = pop(), callable = pop();
    if (values_[argument].kind != Kind::tuple) fail("arguments that are a ", name_of(values_[argument].kind));
    make_object(callable, argument);
  }
  void put(std::uint64_t key) {
    const PickleRef v = top();
    if (memo_.size() >= kMaxPickleValues) fail("more than ", kMaxPickleValues, " memo entries");
    memo_[key] = v;
  }
  void get(std::uint64_t key) {
    const auto it = memo_.find(key);
    if (it == memo_.end()) fail("memo entry ", key, " was never stored");
    push(it->second);
  }

  // Runs one opcode; true at STOP.
  bool step() {
    op_at_ = at_;
    const auto op = std::uint8_t(take(1)[0]);
    // More references than values can only come from opcodes that repeat what is there.
    if (stack_.size() + marks_.size() >= kMaxPickleValues) fail("more than ", kMaxPickleValues, " values on the stack");
    switch (op) {
      case 0x80:  // PROTO
        if (const auto v = number(1); v < 2 || v > 5) fail("protocol ", v, ", expected 2 to 5");
        return false;
      case 0x95:  // FRAME: only a hint for buffering
        if (const auto n = number(8); n > bytes_.size() - at_) fail("truncated: a frame of ", n, " bytes");
        return false;
      case '.': return true;
      case 'N': return push(kPickleNone), false;
      case 0x88: return push(kTrue), false;
      case 0x89: return push(kFalse), false;
      case 'J': return make_integer(std::int32_t(number(4))), false;
      case 'K': return make_integer(std::int64_t(number(1))), false;
      case 'M': return make_integer(std::int64_t(number(2))), false;
      case 0x8a: return make_long(take(number(1))), false;
      case 0x8b: {
        const auto n = std::int32_t(number(4));
        if (n < 0) fail("a number of ", n, " bytes");
        return make_long(take(std::uint64_t(n))), false;
      }
      case 'G': {  // BINFLOAT: big-endian
        const std::uint64_t v = __builtin_bswap64(number(8));
        return make(Kind::real).real = std::bit_cast<double>(v), false;
      }
      case 'X': return make_text(Kind::text, take(number(4))), false;
      case 0x8c: return make_text(Kind::text, take(number(1))), false;
      case 0x8d: return make_text(Kind::text, take(number(8))), false;
      case 'U': return make_text(Kind::text, take(number(1))), false;  // str of Python 2
      case 'T': return make_text(Kind::text, take(number(4))), false;
      case 'B': return make_text(Kind::bytes, take(number(4))), false;
      case 'C': return make_text(Kind::bytes, take(number(1))), false;
      case 0x8e: return make_text(Kind::bytes, take(number(8))), false;
      case 0x96: return make_text(Kind::bytes, take(number(8))), false;  // BYTEARRAY8
      case ')': return make_items(Kind::tuple, {}), false;
      case ']': return make_items(Kind::list, {}), false;
      case '}': return make_items(Kind::dict, {}), false;
      case 0x8f: return make_items(Kind::set, {}), false;
      case 0x85: return make_tuple(1), false;
      case 0x86: return make_tuple(2), false;
      case 0x87: return make_tuple(3), false;
      case '(': return marks_.push_back(stack_.size()), false;
      case 't': return make_items(Kind::tuple, pop_to_mark()), false;
      case 'l': return make_items(Kind::list, pop_to_mark()), false;
      case 'd': return make_items(Kind::dict, pop_to_mark()), false;
      case 0x91: return make_items(Kind::set, pop_to_mark()), false;  // FROZENSET
      case 'a': return extend_last(Kind::list, 1), false;
      case 's': return extend_last(Kind::dict, 2), false;
      case 'e': return extend_marked(Kind::list), false;
      case 'u': return extend_marked(Kind::dict), false;
      case 0x90: return extend_marked(Kind::set), false;
      case '0':  // POP takes a mark, too
        if (!marks_.empty() && marks_.back() == stack_.size())
          marks_.pop_back();
        else
          pop();
        return false;
      case '1': return pop_to_mark(), false;
      case '2': return push(top()), false;
      case 'q': return put(number(1)), false;
      case 'r': return put(number(4)), false;
      case 0x94: return put(memo_.size()), false;
      case 'h': return get(number(1)), false;
      case 'j': return get(number(4)), false;
      case 'c': {  // GLOBAL
        const std::string_view module = line(), name = line();
        return make_global(module, name), false;
      }
      case 0x93: {  // STACK_GLOBAL
        const PickleValue &name = values_[pop()], &module = values_[pop()];
        if (name.kind != Kind::text || module.kind != Kind::text) fail("a global whose name is no text");
        return make_global(module.text, name.text), false;
      }
      case 'R':
      case 0x81: return make_call(1), false;  // REDUCE, NEWOBJ
      case 0x92: return make_call(2), false;  // NEWOBJ_EX
      case 'b': return pop(), void(top()), false;  // BUILD: attributes; nothing here has any use for them
      case 'Q': {                                  // BINPERSID
        const PickleRef id = pop();
        return make_object(kPickleNone, id), false;
      }
      default: fail("opcode ", int(op), " is not read (protocols 2 to 5, binary opcodes only)");
    }
  }
  void extend_marked(Kind kind) {
    const auto items = pop_to_mark();
    extend(kind, items);
  }

  std::span<const std::byte> bytes_;
  const std::string& where_;
  std::size_t at_ = 0, op_at_ = 0;
  std::vector<PickleValue> values_;
  std::vector<PickleRef> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleRef> memo_;
};

}  // namespace

const char* name_of(Kind kind) {
  constexpr const char* kNames[] = {"None", "bool", "int",  "int",  "float",  "str",   "bytes",
                                    "list", "tuple", "set", "dict", "global", "object"};
  return kNames[std::size_t(kind)];
}

Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where) { return Machine(bytes, where).run(); }

}  // namespace bonafide
