// layers/functional/all_gather.h — rows that the processes of a run hold in shares, together on each of them.
#pragma once
#include "engine/communicator.h"
#include "engine/tensor.h"

namespace bonafide::fn {

// x [first[rank + 1] - first[rank], ...] f32: this process's rows [first[rank], first[rank + 1]) of a batch; first: world + 1
// values, from 0, not falling. -> [first[world], ...], the same on every rank.
// Backward: the gradient of the own rows. That is the whole gradient where every rank computes the same function of all rows
// (the loss of the global batch): nothing is sent then. To train, sum the gradients of the parameters over the ranks.
Tensor all_gather_rows(Communicator& comm, const Tensor& x, const std::vector<std::int64_t>& first);

}  // namespace bonafide::fn
