// data/faces/pool.h — objects that one thread at a time may use (OpenCV's detectors): as many as threads ask for at once,
// each made when it is first needed and kept.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace bonafide {

template <class T>
class Pool {
 public:
  explicit Pool(std::function<T()> make) : make_(std::move(make)) {}

  // use(T&) with an object that nobody else uses meanwhile. One that was in use when an exception passed is thrown away.
  template <class F>
  auto with(F&& use) const {
    std::unique_ptr<T> own;
    {
      const std::scoped_lock lock(mutex_);
      if (!idle_.empty()) own = std::move(idle_.back()), idle_.pop_back();
    }
    if (!own) own = std::make_unique<T>(make_());
    auto result = use(*own);
    const std::scoped_lock lock(mutex_);
    idle_.push_back(std::move(own));
    return result;
  }

 private:
  std::function<T()> make_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<T>> idle_;
};

}  // namespace bonafide
