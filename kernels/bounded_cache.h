// kernels/bounded_cache.h — what takes long to make and may be wanted again: the most recently used of it.
#pragma once
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>

namespace bonafide::kernels {

// Safe to use from several threads: what is made is made once, under a lock, and lives as long as somebody uses it.
template <class Key, class Value>
class BoundedCache {
 public:
  explicit BoundedCache(std::size_t most) : most_(most) {}

  // The value of `key`: the one that is kept, or make().
  template <class Make>
  std::shared_ptr<const Value> get(const Key& key, Make&& make) {
    const std::lock_guard lock(mutex_);
    if (const auto it = entries_.find(key); it != entries_.end()) {
      order_.splice(order_.begin(), order_, it->second.place);
      return it->second.value;
    }
    auto value = std::make_shared<const Value>(make());
    if (entries_.size() >= most_) entries_.erase(order_.back()), order_.pop_back();
    order_.push_front(key);
    entries_.emplace(key, Entry{value, order_.begin()});
    return value;
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    entries_.clear(), order_.clear();
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return entries_.size();
  }

 private:
  struct Entry {
    std::shared_ptr<const Value> value;
    typename std::list<Key>::iterator place;
  };
  std::size_t most_;
  mutable std::mutex mutex_;
  std::list<Key> order_;  // the last used first
  std::map<Key, Entry> entries_;
};

}  // namespace bonafide::kernels
