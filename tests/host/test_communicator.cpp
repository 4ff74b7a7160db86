// tests/host/test_communicator.cpp — one process is rank 0 of 1: sums and gathers give back what was put in.
#include "engine/communicator.h"

#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("communicator: a single process") {
  const auto comm = single_process();
  CHECK(comm->rank() == 0);
  CHECK(comm->world() == 1);
  auto values = Buffer<float>::integers(7, 1);
  const auto before = values;
  comm->all_reduce_sum(values.span());
  expect_bitwise("all_reduce_sum", values, before);
  Buffer<float> all(7);
  comm->all_gather(values.cspan(), all.span());
  expect_bitwise("all_gather", all, before);
  all.check_guards("all_gather");
  comm->all_gather(all.cspan(), all.span());  // in place
  expect_bitwise("all_gather in place", all, before);
  std::vector<std::uint8_t> bytes = {1, 2, 3};
  comm->broadcast(bytes, 0);
  CHECK(bytes == std::vector<std::uint8_t>{1, 2, 3});
  comm->barrier();
  comm->all_reduce_sum({});

  Buffer<float> six(6);
  expect_throw("all_gather of 7 values from 1 into 6", [&] { comm->all_gather(values.cspan(), six.span()); });
  expect_throw("broadcast from rank 1 of 1", [&] { comm->broadcast(bytes, 1); });
  expect_throw("5 values at a null pointer", [&] { comm->all_reduce_sum(Span<float>(nullptr, 5)); });
}
