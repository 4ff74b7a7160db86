// engine/torch_file.cpp — see torch_file.h.
#include "engine/torch_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include "engine/bf16.h"
#include "engine/f16.h"
#include "engine/files.h"
#include "engine/pickle.h"
#include "engine/safetensors.h"
#include "engine/zip.h"

namespace bonafide {
namespace {

using Kind = PickleValue::Kind;
static_assert(std::endian::native == std::endian::little, "storages are little-endian");

struct TypeInfo {
  const char *name, *storage;  // torch.NAME, torch.STORAGE
  std::int64_t size;
};
constexpr std::array<TypeInfo, 10> kTypes = {{{"float32", "FloatStorage", 4},
                                              {"float64", "DoubleStorage", 8},
                                              {"float16", "HalfStorage", 2},
                                              {"bfloat16", "BFloat16Storage", 2},
                                              {"int8", "CharStorage", 1},
                                              {"int16", "ShortStorage", 2},
                                              {"int32", "IntStorage", 4},
                                              {"int64", "LongStorage", 8},
                                              {"uint8", "ByteStorage", 1},
                                              {"bool", "BoolStorage", 1}}};
constexpr std::size_t kMaxRank = 16;
constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";  // of the stream format

// ---- what the pickle says

// A persistent id ("storage", type, key, location, elements[, view]).
struct StorageId {
  TorchType type;
  std::string_view key;
  std::int64_t elements;
  // The stream format may hand out a part of a storage: elements [view, view + view_elements).
  std::int64_t view = 0, view_elements = 0;
};

// Reads values of one pickle by what they mean to PyTorch.
class Reader {
 public:
  Reader(const Pickle& p, std::string where) : p_(p), where_(std::move(where)) {}

  template <class... Ts>
  [[noreturn]] void refuse(const Ts&... what) const {
    throw Error(str(where_, ": ", what...));
  }

  const PickleValue& operator[](PickleRef i) const { return p_[i]; }
  bool calls(const PickleValue& v, std::string_view module, std::string_view name) const {
    if (v.kind != Kind::object || v.callable == kPickleNone) return false;
    const PickleValue& f = p_[v.callable];
    return f.kind == Kind::global && f.module == module && f.text == name;
  }
  bool is_dict(const PickleValue& v) const {
    return v.kind == Kind::dict || calls(v, "collections", "OrderedDict") || calls(v, "collections", "defaultdict");
  }
  bool is_persistent(const PickleValue& v) const { return v.kind == Kind::object && v.callable == kPickleNone; }

  // The tensor behind a parameter's wrapping, or nullptr where a value is no tensor.
  const PickleValue* tensor(PickleRef i) const {
    for (int wrapped = 0; wrapped < 4; ++wrapped) {
      const PickleValue& v = p_[i];
      if (calls(v, "torch._utils", "_rebuild_tensor_v2") || calls(v, "torch._utils", "_rebuild_tensor")) return &v;
      if (!calls(v, "torch._utils", "_rebuild_parameter") && !calls(v, "torch._utils", "_rebuild_parameter_with_state"))
        return nullptr;
      const auto& arguments = p_[v.argument].items;
      if (arguments.empty()) return nullptr;
      i = arguments[0];
    }
    return nullptr;
  }

  std::int64_t integer(PickleRef i, const char* what) const {
    if (p_[i].kind != Kind::integer) refuse(what, " is a ", name_of(p_[i].kind), ", expected an int");
    return p_[i].integer;
  }
  std::string_view text(PickleRef i, const char* what) const {
    if (p_[i].kind != Kind::text) refuse(what, " is a ", name_of(p_[i].kind), ", expected a str");
    return p_[i].text;
  }
  std::vector<std::int64_t> sizes(PickleRef i, const char* what) const {
    const PickleValue& v = p_[i];
    if (v.kind != Kind::tuple && v.kind != Kind::list) refuse(what, " is a ", name_of(v.kind), ", expected a tuple");
    if (v.items.size() > kMaxRank) refuse(what, " has ", v.items.size(), " axes, at most ", kMaxRank, " are read");
    std::vector<std::int64_t> r;
    for (const PickleRef d : v.items) r.push_back(integer(d, what));
    return r;
  }

  StorageId storage_id(const PickleValue& v) const {
    const auto& id = p_[v.argument].items;
    if (p_[v.argument].kind != Kind::tuple || id.size() < 5 || text(id[0], "kind of a persistent id") != "storage")
      refuse("a persistent id that is no storage");
    const PickleValue& type = p_[id[1]];
    const auto known = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeInfo& t) { return t.storage == type.text; });
    if (type.kind != Kind::global || type.module != "torch" || known == kTypes.end())
      refuse("a storage of type ", type.module, ".", type.text, " is not read");
    StorageId s{TorchType(known - kTypes.begin()), text(id[2], "key of a storage"), integer(id[4], "length of a storage")};
    std::int64_t bytes = 0;
    if (s.elements < 0 || __builtin_mul_overflow(s.elements, known->size, &bytes))
      refuse("storage '", s.key, "': ", s.elements, " elements");
    s.view_elements = s.elements;
    if (id.size() > 5 && p_[id[5]].kind == Kind::tuple) {  // (key, offset, elements)
      const auto& view = p_[id[5]].items;
      if (view.size() != 3) refuse("storage '", s.key, "': a view of ", view.size(), " entries, expected 3");
      s.view = integer(view[1], "offset of a view"), s.view_elements = integer(view[2], "length of a view");
      if (s.view < 0 || s.view_elements < 0 || s.view > s.elements || s.view_elements > s.elements - s.view)
        refuse("storage '", s.key, "': elements ", s.view, " to ", s.view, " + ", s.view_elements, " of ", s.elements);
    }
    return s;
  }

 private:
  const Pickle& p_;
  std::string where_;
};

// ---- where the bytes of storages are

class Storages {
 public:
  virtual ~Storages() = default;
  virtual std::span<const std::byte> bytes(const StorageId&) = 0;  // at least `elements` of them
};

// Elements that a view reaches must lie in its storage; numel must be a number. Negative strides do not exist in PyTorch.
void check_extent(const TorchTensor& t, const Reader& r) {
  const std::string where = "tensor '" + t.name + "': ";
  if (t.shape.size() != t.strides.size())
    r.refuse(where, "shape ", shape_text(t.shape), " with strides ", shape_text(t.strides));
  std::int64_t last = t.offset, numel = 1, step = 0;
  bool overflow = t.offset < 0, empty = false;
  for (std::size_t i = 0; i < t.shape.size(); ++i) {
    overflow |= t.shape[i] < 0 || t.strides[i] < 0;
    empty |= t.shape[i] == 0;
  }
  for (std::size_t i = 0; !overflow && i < t.shape.size(); ++i) {
    overflow |= __builtin_mul_overflow(numel, std::max<std::int64_t>(t.shape[i], 1), &numel);
    overflow |= !empty && (__builtin_mul_overflow(t.shape[i] - 1, t.strides[i], &step) ||
                           __builtin_add_overflow(last, step, &last));
  }
  const std::int64_t elements = std::int64_t(t.storage.size()) / size_of(t.type);
  if (overflow || (!empty && last >= elements))
    r.refuse(where, "shape ", shape_text(t.shape), ", strides ", shape_text(t.strides), " and offset ", t.offset,
             " reach out of a storage of ", elements, " elements");
}

// Arguments of _rebuild_tensor[_v2]: storage, offset, size, stride[, requires_grad, hooks, metadata].
TorchTensor make_tensor(const Reader& r, std::string name, const PickleValue& call, Storages& storages) {
  const auto& arguments = r[call.argument].items;
  if (arguments.size() < 4 || !r.is_persistent(r[arguments[0]]))
    r.refuse("tensor '", name, "': not the arguments of a tensor");
  TorchTensor t{.name = std::move(name)};
  t.offset = r.integer(arguments[1], "offset of a tensor");
  t.shape = r.sizes(arguments[2], "shape of a tensor");
  t.strides = r.sizes(arguments[3], "strides of a tensor");
  const StorageId id = r.storage_id(r[arguments[0]]);
  t.type = id.type;
  const std::int64_t size = size_of(id.type);
  t.storage = storages.bytes(id).subspan(std::size_t(id.view * size), std::size_t(id.view_elements * size));
  check_extent(t, r);
  return t;
}

// ---- which dict is the state dict

// The entries of a dict whose keys are text and whose values are tensors.
struct Named {
  std::string_view name;
  const PickleValue* tensor;
};
std::vector<Named> tensors_of(const Reader& r, const PickleValue& dict) {
  std::vector<Named> found;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2)
    if (r[dict.items[i]].kind == Kind::text)
      if (const PickleValue* t = r.tensor(dict.items[i + 1])) found.push_back({r[dict.items[i]].text, t});
  return found;
}

std::vector<Named> state_dict(const Reader& r, const PickleValue& root, std::string& container) {
  if (!r.is_dict(root)) {
    const PickleValue* f = root.kind == Kind::object ? &r[root.callable] : &root;
    if (f->kind == Kind::global)
      r.refuse("holds a ", f->module, ".", f->text, ", expected a state dict: save model.state_dict() instead");
    r.refuse("holds a ", name_of(root.kind), ", expected a state dict");
  }
  constexpr std::array kKnown = {"state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model"};
  std::map<std::string_view, std::vector<Named>> dicts;
  std::string keys;
  std::size_t looked_at = 0;  // one large dict under a hundred thousand keys is a small file and an hour's work
  for (std::size_t i = 0; i + 1 < root.items.size(); i += 2) {
    const PickleValue &key = r[root.items[i]], &value = r[root.items[i + 1]];
    if (key.kind != Kind::text || !r.is_dict(value)) continue;
    if ((looked_at += value.items.size()) > 2 * kMaxPickleValues) r.refuse("holds the same dicts again and again");
    auto found = tensors_of(r, value);
    if (found.empty()) continue;
    if (!dicts.contains(key.text)) keys.append(keys.empty() ? "" : ", ").append(key.text);
    dicts[key.text] = std::move(found);
  }
  for (const std::string_view known : kKnown)
    if (const auto it = dicts.find(known); it != dicts.end()) return container = known, std::move(it->second);
  auto direct = tensors_of(r, root);
  if (dicts.empty() && !direct.empty()) return direct;
  if (dicts.size() == 1 && direct.empty()) return container = dicts.begin()->first, std::move(dicts.begin()->second);
  if (dicts.empty()) r.refuse("no tensors in it: expected a state dict, or a dict with one as state_dict or model");
  r.refuse("which of its entries are the weights? ", keys, direct.empty() ? "" : ", or those beside them");
}

std::vector<TorchTensor> read_tensors(const Reader& r, const PickleValue& root, std::string& container,
                                      Storages& storages) {
  std::vector<TorchTensor> tensors;
  std::set<std::string_view> names;
  for (const Named& n : state_dict(r, root, container)) {
    if (!names.insert(n.name).second) r.refuse("tensor '", n.name, "' is there twice");
    tensors.push_back(make_tensor(r, std::string(n.name), *n.tensor, storages));
  }
  return tensors;
}

// ---- the zip format

class ZipStorages final : public Storages {
 public:
  ZipStorages(ZipArchive& archive, std::string prefix, const Reader& r)
      : archive_(archive), prefix_(std::move(prefix)), r_(r) {}
  std::span<const std::byte> bytes(const StorageId& id) override {
    const auto b = archive_.read(prefix_ + "data/" + std::string(id.key));
    if (std::int64_t(b.size()) < id.elements * size_of(id.type))
      r_.refuse("storage '", id.key, "' has ", b.size(), " bytes, ", id.elements, " of ", name_of(id.type), " take ",
                id.elements * size_of(id.type));
    return b;
  }

 private:
  ZipArchive& archive_;
  std::string prefix_;
  const Reader& r_;
};

// Everything lies in one folder, whose name is free: `NAME/data.pkl`.
std::string folder_of(const ZipArchive& archive, const std::string& where) {
  std::optional<std::string> prefix;
  for (const std::string& name : archive.names()) {
    const auto slash = name.find('/');
    const std::string folder = slash == std::string::npos ? "" : name.substr(0, slash + 1);
    if (name != folder + "data.pkl") continue;
    if (prefix) throw Error(where + ": a zip archive with more than one data.pkl");
    prefix = folder;
  }
  if (!prefix) throw Error(where + ": a zip archive without data.pkl: not a file of torch.save");
  if (archive.contains(*prefix + "constants.pkl"))
    throw Error(where + ": holds a TorchScript program, expected a state dict: save model.state_dict() with torch.save instead");
  return *prefix;
}

std::string_view as_text(std::span<const std::byte> b) { return {reinterpret_cast<const char*>(b.data()), b.size()}; }

std::vector<TorchTensor> read_zip(ZipArchive& archive, const std::string& where, std::string& container) {
  const std::string prefix = folder_of(archive, where);
  if (archive.contains(prefix + "byteorder"))
    if (const auto order = as_text(archive.read(prefix + "byteorder")); order != "little")
      throw Error(str(where, ": byte order '", order.substr(0, 16), "', expected 'little'"));
  const Pickle pickle = read_pickle(archive.read(prefix + "data.pkl"), where + ": data.pkl");
  const Reader r(pickle, where);
  ZipStorages storages(archive, prefix, r);
  return read_tensors(r, pickle.result(), container, storages);
}

// ---- the stream format

class StreamStorages final : public Storages {
 public:
  // `rest`: from the list of keys to the end of the file.
  StreamStorages(const Pickle& object, std::span<const std::byte> rest, const std::string& where, const Reader& r) : r_(r) {
    std::map<std::string_view, StorageId> ids;
    for (const PickleValue& v : object.values) {
      if (!r.is_persistent(v)) continue;
      const auto& id = r[v.argument];
      if (id.kind == Kind::tuple && !id.items.empty() && r[id.items[0]].text != "storage") continue;  // "module": source text
      const StorageId s = r.storage_id(v);
      const auto [known, fresh] = ids.emplace(s.key, s);
      if (!fresh && (known->second.type != s.type || known->second.elements != s.elements))
        r.refuse("storage '", s.key, "' is described in two ways");
    }
    const Pickle keys = read_pickle(rest, where + ": list of storages");
    if (keys.result().kind != Kind::list) r.refuse("list of storages: it is a ", name_of(keys.result().kind));
    rest = rest.subspan(keys.size);
    for (const PickleRef i : keys.result().items) {
      const PickleValue& key = keys[i];
      const auto id = ids.find(key.text);
      if (key.kind != Kind::text || id == ids.end()) r.refuse("storage '", key.text, "' is listed and used by no tensor");
      const auto need = id->second.elements * size_of(id->second.type);
      std::int64_t elements = 0;
      if (rest.size() < 8) r.refuse("truncated before storage '", key.text, "'");
      std::memcpy(&elements, rest.data(), 8);
      rest = rest.subspan(8);
      if (elements != id->second.elements)
        r.refuse("storage '", key.text, "' has ", elements, " elements, expected ", id->second.elements);
      if (std::int64_t(rest.size()) < need)
        r.refuse("truncated: storage '", key.text, "' takes ", need, " bytes, ", rest.size(), " are left");
      if (!bytes_.emplace(id->first, rest.first(std::size_t(need))).second)
        r.refuse("storage '", key.text, "' is listed twice");
      rest = rest.subspan(std::size_t(need));
    }
    if (!rest.empty()) r.refuse(rest.size(), " bytes after the last storage belong to nothing");
  }
  std::span<const std::byte> bytes(const StorageId& id) override {
    const auto it = bytes_.find(id.key);
    if (it == bytes_.end()) r_.refuse("storage '", id.key, "' is not in the file");
    return it->second;
  }

 private:
  const Reader& r_;
  std::map<std::string_view, std::span<const std::byte>> bytes_;
};

std::vector<TorchTensor> read_stream(std::span<const std::byte> bytes, const std::string& where, std::string& container) {
  const auto next = [&](const char* what) {
    Pickle p = read_pickle(bytes, where + ": " + what);
    bytes = bytes.subspan(p.size);
    return p;
  };
  if (const Pickle p = next("magic number"); p.result().kind != Kind::long_integer || p.result().text != kMagic)
    throw Error(where + ": a pickle, but not one of torch.save");
  if (const Pickle p = next("protocol"); p.result().kind != Kind::integer || p.result().integer != 1001)
    throw Error(where + ": not protocol 1001 of torch.save");
  const Pickle system = next("system");
  for (std::size_t i = 0; i + 1 < system.result().items.size(); i += 2)
    if (system[system.result().items[i]].text == "little_endian" && system[system.result().items[i + 1]].integer != 1)
      throw Error(where + ": written on a big-endian machine");
  const Pickle object = next("object");
  const Reader r(object, where);
  StreamStorages storages(object, bytes, where, r);
  return read_tensors(r, object.result(), container, storages);
}

// ---- numbers

template <class T>
float element(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return float(v);
}
using Element = float (*)(const std::byte*);
Element element_of(TorchType t) {
  switch (t) {
    case TorchType::float32: return element<float>;
    case TorchType::float64: return element<double>;
    case TorchType::float16: return [](const std::byte* p) {
      std::uint16_t h;
      std::memcpy(&h, p, 2);
      return half_to_f32(h);
    };
    case TorchType::bfloat16: return element<bf16>;
    case TorchType::int8: return element<std::int8_t>;
    case TorchType::int16: return element<std::int16_t>;
    case TorchType::int32: return element<std::int32_t>;
    case TorchType::int64: return element<std::int64_t>;
    case TorchType::uint8: return element<std::uint8_t>;
    case TorchType::boolean: return [](const std::byte* p) { return *p == std::byte{0} ? 0.0f : 1.0f; };
  }
  return nullptr;
}

}  // namespace

std::int64_t size_of(TorchType t) { return kTypes[std::size_t(t)].size; }
const char* name_of(TorchType t) { return kTypes[std::size_t(t)].name; }

std::int64_t TorchTensor::numel() const {
  std::int64_t n = 1;
  for (const std::int64_t d : shape) n *= d;
  return n;
}

void TorchTensor::read(Span<float> out) const {
  const std::int64_t n = numel(), size = size_of(type);
  BF_CHECK(out.size() == n, "tensor '", name, "' has ", n, " elements ", shape_text(shape), ", expected ", out.size());
  if (n == 0) return;
  // The axes that count, the trailing ones that lie in memory as row-major order has them melted into one run. (An axis of
  // length 1 may have any stride.)
  std::vector<std::int64_t> lengths, steps, at;
  std::int64_t run = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis] == 1) continue;
    if (lengths.empty() && strides[axis] == run)
      run *= shape[axis];
    else
      lengths.push_back(shape[axis]), steps.push_back(strides[axis]);  // the fastest first
  }
  at.resize(lengths.size());
  const Element convert = element_of(type);
  std::int64_t from = offset;
  for (std::int64_t i = 0; i < n; i += run) {
    const std::byte* p = storage.data() + from * size;
    if (type == TorchType::float32)
      std::memcpy(out.begin() + i, p, std::size_t(run * size));
    else
      for (std::int64_t j = 0; j < run; ++j) out[i + j] = convert(p + j * size);
    for (std::size_t axis = 0; axis < at.size(); ++axis) {
      from += steps[axis];
      if (++at[axis] < lengths[axis]) break;
      from -= steps[axis] * lengths[axis];
      at[axis] = 0;
    }
  }
}

bool TorchFile::recognises(std::span<const std::byte> start) {
  const std::string_view s = as_text(start.first(std::min<std::size_t>(start.size(), 512)));
  // A safetensors file may start with these very bytes (they are a length there), but then its ninth is a brace.
  if (s.size() > 8 && s[8] == '{') return false;
  return s.starts_with("PK\3\4") || s.starts_with("PK\5\6") || (s.size() >= 2 && s[0] == '\x80' && s[1] >= 2 && s[1] <= 5) ||
         (s.size() >= 262 && s.substr(257, 5) == "ustar");
}

TorchFile::TorchFile(std::span<const std::byte> bytes, const std::string& name) : path_(name) { parse(bytes); }

TorchFile::TorchFile(const std::filesystem::path& path) : path_(path) {
  const MappedFile file = map_file(path);
  mapping_ = file.owner;
  parse(file.bytes);
}

void TorchFile::parse(std::span<const std::byte> bytes) {
  const std::string where = path_.string();
  if (!recognises(bytes)) throw Error(where + ": not a file of torch.save");
  const std::string_view start = as_text(bytes);
  if (start.starts_with("PK")) {
    const auto archive = std::make_shared<ZipArchive>(bytes, where);
    inflated_ = archive;
    tensors_ = read_zip(*archive, where, container_);
  } else if (start[0] == '\x80') {
    tensors_ = read_stream(bytes, where, container_);
  } else {
    throw Error(where + ": the tar format that PyTorch wrote in 2016 is not read: load and save it with a newer PyTorch");
  }
}

}  // namespace bonafide
