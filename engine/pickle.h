// engine/pickle.h — Python's pickle read as data: a machine that builds plain values and calls nothing.
//
// A pickle is a program for a stack machine, and two of its instructions import and call whatever they name. Here they
// only write down what was asked for: a value of kind `object` that knows the name and the arguments. Who reads the
// result decides which names mean something (engine/torch_file.cpp knows a handful); the rest stays what it is.
//
// Read: the binary opcodes of protocols 2 to 5. Refused by name: the text opcodes of protocols 0 and 1, the extension
// registry and out-of-band buffers. Values refer to one another by index, never by pointer: cycles and a nesting of a
// million lists cost no stack. Every opcode makes at most one value, and there are at most kMaxPickleValues.
// Source: CPython's Lib/pickletools.py, which documents every opcode.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base.h"

namespace bonafide {

using PickleRef = std::uint32_t;  // index into Pickle::values
constexpr std::size_t kMaxPickleValues = std::size_t(1) << 20;  // of about 100 bytes; state dicts have some ten thousand
constexpr PickleRef kPickleNone = 0;  // the value None has this index in every pickle

struct PickleValue {
  enum class Kind : std::uint8_t {
    none,
    boolean,       // integer: 0 or 1
    integer,       // integer
    long_integer,  // text: more than 8 bytes, little-endian two's complement
    real,          // real
    text,          // text: UTF-8, unchecked
    bytes,         // text
    list,          // items
    tuple,         // items
    set,           // items
    dict,          // items: key, value, key, value, …
    global,        // text: the name; module: where it lives. Never imported
    object,        // a call that was not made: callable, argument; items as in a dict, or as in a list, as it was filled
  };
  Kind kind = Kind::none;
  std::int64_t integer = 0;
  double real = 0;
  std::string_view text, module;  // of the input: they live as long as it does
  std::vector<PickleRef> items;
  PickleRef callable = kPickleNone;  // object: what would be called; None: argument is a persistent id
  PickleRef argument = kPickleNone;  // object: the tuple of arguments
};

struct Pickle {
  std::vector<PickleValue> values;
  PickleRef root = kPickleNone;
  std::size_t size = 0;  // bytes read, STOP included; a stream of pickles goes on there

  const PickleValue& operator[](PickleRef i) const { return values[i]; }
  const PickleValue& result() const { return values[root]; }
};

const char* name_of(PickleValue::Kind);

// Reads one pickle from the start of `bytes`. Throws an Error beginning with `where` and naming the byte.
Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where);

}  // namespace bonafide
