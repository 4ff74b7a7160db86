// engine/comm/meeting.h — all processes of a run find each other in a store, and leave with a name that only they know.
#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "engine/comm/store.h"

namespace bonafide {

// Returns, on every rank, the same fresh name of this meeting, to be put before all further keys. What a run left in the
// store that was killed, with the same run id even, is never taken for this one's: each process brings a number that nobody
// had before, rank 0 answers with all of them, and everybody must agree to the answer that holds its own.
// Throws Error after `timeout`, naming the ranks that did not come; where two processes say they are the same rank or
// expect different numbers of processes, as soon as that is seen.
std::string meet(Store& store, int rank, int world, std::chrono::milliseconds timeout);

// The value of a key that another process sets, waited for. `what`: for the error.
std::string wait_for_value(Store& store, const std::string& key, std::chrono::milliseconds timeout, const std::string& what);

}  // namespace bonafide
