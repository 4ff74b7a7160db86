// engine/comm/last_words.h — who is missing when an operation fails: each process that fails leaves word of where it stood.
#pragma once
#include <memory>
#include <string>

#include "engine/comm/store.h"

namespace bonafide {

class LastWords {
 public:
  // `name`: the same on all ranks, and nobody else's in the store.
  LastWords(std::shared_ptr<Store> store, std::string name, int rank, int world);
  // Says that this rank's `operation` failed, listens for some seconds to what the others say, and returns for the error:
  // "rank 1 hangs or is gone, rank 2 stopped at barrier".
  std::string others(const std::string& operation);

 private:
  std::shared_ptr<Store> store_;
  std::string prefix_;
  int rank_, world_;
};

}  // namespace bonafide
