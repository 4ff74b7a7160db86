// kernels/emulator/memory.cpp — bounds, races and unwritten reads, element by element.
#include "kernels/emulator/memory.h"

#include <algorithm>
#include <utility>

namespace bonafide::simt {

void Memory::add(std::string name, const void* begin, std::int64_t count, int element_bytes, bool shared) {
  if (!begin || count <= 0) return;
  const auto* first = static_cast<const char*>(begin);
  arrays_.push_back({std::move(name), first, first + count * element_bytes, element_bytes, shared});
  Region joined{first, first + count * element_bytes, element_bytes, shared, {}};
  std::erase_if(regions_, [&](const Region& r) {
    if (r.end <= joined.begin || joined.end <= r.begin) return false;
    joined.begin = std::min(joined.begin, r.begin), joined.end = std::max(joined.end, r.end);
    joined.cell_bytes = std::min(joined.cell_bytes, r.cell_bytes);
    return true;
  });
  joined.cells.resize(std::size_t((joined.end - joined.begin) / joined.cell_bytes));
  regions_.push_back(std::move(joined));
}

void Memory::remove_shared() {
  std::erase_if(arrays_, [](const Array& a) { return a.shared; });
  std::erase_if(regions_, [](const Region& r) { return r.shared; });
}

bool Memory::is_shared(const void* p) const {
  return std::any_of(regions_.begin(), regions_.end(), [p](const Region& r) { return r.shared && r.begin <= p && p < r.end; });
}

// Blocks run one after another here, but at any time on a GPU: what another block did is never ordered.
bool Memory::ordered(const Access& then, const Moment& m) {
  if (then.block < 0) return true;
  if (then.block != m.block) return false;
  if (then.thread == m.thread || then.time < m.block_barrier) return true;
  return then.thread / kWarp == m.thread / kWarp && then.time < (*m.lanes)[std::size_t(then.thread % kWarp)];
}

std::string Memory::element(const void* base, std::int64_t i, int element_bytes) const {
  const auto* p = static_cast<const char*>(base);
  for (const Array& a : arrays_)  // an array that begins there, before one that the pointer lies inside of
    if (a.begin == p && a.element_bytes == element_bytes) return str(a.name, "[", i, "]");
  for (const Array& a : arrays_)
    if (a.begin <= p && p < a.end) return str(a.name, "[", (p - a.begin + i * element_bytes) / a.element_bytes, "]");
  return str("element ", i, " of an array that the launch does not name");
}

std::string Memory::check_place(const char* verb, const void* base, std::int64_t length, std::int64_t i, int count,
                                int element_bytes, Region*& region) const {
  if (i < 0 || i + count > length)
    return str(verb, " ", element(base, i < 0 || i >= length ? i : length, element_bytes), ": out of range, it has ",
               length, " elements");
  const auto* p = static_cast<const char*>(base) + i * element_bytes;
  const int bytes = count * element_bytes, natural = bytes & -bytes;  // a struct of 12 bytes is three accesses of 4
  if (reinterpret_cast<std::uintptr_t>(p) % std::uintptr_t(natural))
    return str(verb, " ", count, " elements at ", element(base, i, element_bytes), ": the address is not a multiple of ",
               natural, " bytes");
  for (Region& r : regions_)
    if (r.begin <= p && p + count * element_bytes <= r.end) return region = &r, "";
  return str(verb, " ", element(base, i, element_bytes), ": outside of the arrays of this launch");
}

std::string Memory::read(const Moment& m, const void* base, std::int64_t length, std::int64_t i, int count,
                         int element_bytes) {
  Region* r = nullptr;
  if (std::string wrong = check_place("reads", base, length, i, count, element_bytes, r); !wrong.empty()) return wrong;
  const auto* p = static_cast<const char*>(base) + i * element_bytes;
  for (auto c = (p - r->begin) / r->cell_bytes, end = c + count * element_bytes / r->cell_bytes, first = c; c < end;
       ++c) {
    Cell& cell = r->cells[std::size_t(c)];
    const auto what = [&] { return element(base, i + (c - first) * r->cell_bytes / element_bytes, element_bytes); };
    if (r->shared && cell.writer.block < 0) return str("reads ", what(), ", which nobody has written");
    if (!ordered(cell.writer, m))
      return str("reads ", what(), ", written by block ", cell.writer.block, " thread ", cell.writer.thread,
                 " with no barrier between");
    auto& readers = cell.readers;
    if (!readers.empty() && readers.back().block != m.block)
      cell.earlier_reader = readers.back().block, readers.clear();
    std::erase_if(readers,
                  [&](const Access& a) { return ordered(a, m); });  // whoever is behind this reader is behind them
    readers.push_back({m.block, m.thread, m.now});
  }
  return "";
}

std::string Memory::write(const Moment& m, const void* base, std::int64_t length, std::int64_t i, int count,
                          int element_bytes) {
  Region* r = nullptr;
  if (std::string wrong = check_place("writes", base, length, i, count, element_bytes, r); !wrong.empty()) return wrong;
  const auto* p = static_cast<const char*>(base) + i * element_bytes;
  for (auto c = (p - r->begin) / r->cell_bytes, end = c + count * element_bytes / r->cell_bytes, first = c; c < end;
       ++c) {
    Cell& cell = r->cells[std::size_t(c)];
    const auto what = [&] { return element(base, i + (c - first) * r->cell_bytes / element_bytes, element_bytes); };
    if (!ordered(cell.writer, m))
      return str("writes ", what(), ", which block ", cell.writer.block, " thread ", cell.writer.thread,
                 " writes too, with no barrier between");
    if (cell.earlier_reader >= 0) return str("writes ", what(), ", which block ", cell.earlier_reader, " reads");
    for (const Access& a : cell.readers)
      if (!ordered(a, m))
        return str("writes ", what(), ", which block ", a.block, " thread ", a.thread,
                   " reads with no barrier between");
    cell.writer = {m.block, m.thread, m.now};
    cell.readers.clear();
  }
  return "";
}

}  // namespace bonafide::simt
