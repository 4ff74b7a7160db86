// apps/common/agreement.h — processes that train as one must have been started alike. Where they were not (two hosts with two
// versions of a file), they would compute different things, or end inside an operation that each calls with another length.
#pragma once
#include <string>

#include "apps/common/options.h"
#include "engine/communicator.h"
#include "engine/device.h"

namespace bonafide {

// Every process calls it, with the device it computes on and what else decides what it computes: `weights`, the file that
// training starts from ("": none), and `words` of the command line. Throws the same Error on all of them where settings, the
// contents of the lists or those of the weights differ from rank 0's: it names the ranks. What may differ: where files lie,
// device numbers, threads of the loader, cache and time-out.
void agree_on_start(const TrainConfig&, Device, const std::string& weights, const std::string& words, Communicator& host);

}  // namespace bonafide
