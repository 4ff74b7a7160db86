// tests/host/test_process_place.cpp — rank and world out of what torchrun, mpirun, srun and our own launcher put into
// the environment, and what is said where that is half or wrong.
#include "engine/comm/process_place.h"

#include <stdlib.h>

#include <map>

#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

using Environment = std::map<std::string, std::string>;

std::optional<ProcessPlace> place_in(const Environment& environment) {
  return process_place([&](const char* name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  });
}

// With some variables changed; those that become "-" are taken out.
Environment with(Environment environment, const Environment& changes) {
  for (const auto& [name, value] : changes) {
    environment[name] = value;
    if (value == "-") environment.erase(name);
  }
  return environment;
}

std::string text(const std::optional<ProcessPlace>& p) {
  if (!p) return "alone";
  return str(p->source, " ", p->rank, "/", p->world, " here ", p->local_rank, "/", p->local_world, " ", p->address, ":",
             p->port, " '", p->run_id, "'");
}

const Environment kTorchrun = {{"RANK", "5"},
                               {"WORLD_SIZE", "8"},
                               {"LOCAL_RANK", "1"},
                               {"LOCAL_WORLD_SIZE", "4"},
                               {"MASTER_ADDR", "gpu7"},
                               {"MASTER_PORT", "4000"},
                               {"TORCHELASTIC_RUN_ID", "abc"},
                               {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
const Environment kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "2"},
                              {"OMPI_COMM_WORLD_SIZE", "3"},
                              {"OMPI_COMM_WORLD_LOCAL_RANK", "2"},
                              {"OMPI_COMM_WORLD_LOCAL_SIZE", "3"}};
const Environment kSlurm = {{"SLURM_PROCID", "10"},
                            {"SLURM_NTASKS", "11"},
                            {"SLURM_LOCALID", "2"},
                            {"SLURM_NODEID", "2"},
                            {"SLURM_TASKS_PER_NODE", "4(x2),3"},
                            {"SLURM_NODELIST", "node[01-03,07],gpu5"},
                            {"SLURM_JOB_ID", "77"},
                            {"SLURM_STEP_ID", "0"}};

}  // namespace

TEST_CASE("process place: nobody says anything") {
  CHECK(text(place_in({})) == "alone");
  CHECK(text(place_in({{"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}, {"BONAFIDE_RUN_ID", "x"}})) == "alone");
  CHECK(text(place_in({{"RANK", ""}, {"WORLD_SIZE", ""}})) == "alone");
}

TEST_CASE("process place: torchrun") {
  CHECK(text(place_in(kTorchrun)) == "torchrun 5/8 here 1/4 gpu7:4001 'abc'");
  // Its agent serves on MASTER_PORT only where it says so.
  CHECK(text(place_in(with(kTorchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "False"}}))) ==
        "torchrun 5/8 here 1/4 gpu7:4000 'abc'");
  CHECK(text(place_in(with(kTorchrun, {{"BONAFIDE_PORT", "5000"}}))) == "torchrun 5/8 here 1/4 gpu7:5000 'abc'");
  CHECK(text(place_in(with(kTorchrun, {{"BONAFIDE_RUN_ID", "mine"}}))) == "torchrun 5/8 here 1/4 gpu7:4001 'mine'");
  CHECK(text(place_in(with(kTorchrun, {{"TORCHELASTIC_RUN_ID", "none"}}))) == "torchrun 5/8 here 1/4 gpu7:4001 ''");
  CHECK(text(place_in(with(kTorchrun, {{"MASTER_PORT", "-"}}))) == "torchrun 5/8 here 1/4 gpu7:29500 'abc'");
  CHECK(text(place_in(with(kTorchrun, {{"WORLD_SIZE", "1"}, {"RANK", "0"}}))) == "alone");
  CHECK(text(place_in({{"RANK", "0"}, {"WORLD_SIZE", "1"}})) == "alone");
  // A loop in a shell.
  const Environment loop = {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"MASTER_ADDR", "localhost"}};
  CHECK(text(place_in(loop)) == "torchrun 0/2 here 0/2 localhost:29500 ''");
  CHECK(text(place_in(with(loop, {{"RANK", "1"}, {"LOCAL_RANK", "1"}}))) == "torchrun 1/2 here 1/2 localhost:29500 ''");
  // Around it: what Slurm and mpirun say is about torchrun's own processes.
  Environment inside = kTorchrun;
  inside.insert(kSlurm.begin(), kSlurm.end());
  inside.insert(kOpenMpi.begin(), kOpenMpi.end());
  inside["SLURM_RESTART_COUNT"] = "3";
  CHECK(text(place_in(inside)) == "torchrun 5/8 here 1/4 gpu7:4001 'abc'");
}

TEST_CASE("process place: our own launcher") {
  Environment ours = {{"RANK", "1"},
                      {"WORLD_SIZE", "2"},
                      {"LOCAL_RANK", "1"},
                      {"LOCAL_WORLD_SIZE", "2"},
                      {"MASTER_ADDR", "127.0.0.1"},
                      {"MASTER_PORT", "40001"},
                      {"BONAFIDE_RUN_ID", "f00"}};
  CHECK(text(place_in(ours)) == "bonafide 1/2 here 1/2 127.0.0.1:40001 'f00'");
  CHECK(text(place_in(with(ours, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}}))) ==
        "bonafide 1/2 here 1/2 127.0.0.1:40001 'f00'");
  CHECK(text(place_in(with(ours, {{"RANK", "0"}, {"WORLD_SIZE", "1"}}))) ==
        "bonafide 0/1 here 0/1 127.0.0.1:40001 'f00'");
  CHECK(text(place_in(with(ours, {{"BONAFIDE_PORT", "65535"}}))) == "bonafide 1/2 here 1/2 127.0.0.1:65535 'f00'");
}

TEST_CASE("process place: mpirun") {
  CHECK(text(place_in(kOpenMpi)) == "mpirun 2/3 here 2/3 127.0.0.1:29500 ''");
  CHECK(text(place_in(with(kOpenMpi, {{"PMIX_NAMESPACE", "prterun-7@1"}}))) ==
        "mpirun 2/3 here 2/3 127.0.0.1:29500 'prterun-7@1'");
  CHECK(text(place_in(with(kOpenMpi, {{"BONAFIDE_RUN_ID", "r"}, {"PMIX_NAMESPACE", "p"}, {"MASTER_PORT", "1"}}))) ==
        "mpirun 2/3 here 2/3 127.0.0.1:1 'r'");
  CHECK(text(place_in(
            with(kOpenMpi, {{"MASTER_ADDR", "h"}, {"MASTER_PORT", "5"}, {"TORCHELASTIC_USE_AGENT_STORE", "True"}}))) ==
        "mpirun 2/3 here 2/3 h:5 ''");
  CHECK(text(place_in({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}})) == "alone");
  CHECK(text(place_in(with(kOpenMpi, {{"WORLD_SIZE", "3"}, {"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "0"}}))) ==
        "mpirun 2/3 here 2/3 127.0.0.1:29500 ''");

  const Environment two_hosts =
      with(kOpenMpi, {{"OMPI_COMM_WORLD_LOCAL_RANK", "0"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}});
  expect_throw("mpirun started 3 processes on several hosts: MASTER_ADDR must name the host of rank 0",
               [&] { place_in(two_hosts); });
  CHECK(text(place_in(with(two_hosts, {{"MASTER_ADDR", "h"}}))) == "mpirun 2/3 here 0/1 h:29500 ''");
  expect_throw("OMPI_COMM_WORLD_RANK=2 is set, but not OMPI_COMM_WORLD_LOCAL_SIZE", [&] {
    place_in(with(kOpenMpi, {{"OMPI_COMM_WORLD_LOCAL_SIZE", "-"}}));
  });
}

TEST_CASE("process place: srun") {
  CHECK(text(place_in(kSlurm)) == "Slurm 10/11 here 2/3 node01:29500 '77.0'");
  CHECK(text(place_in(with(kSlurm, {{"SLURM_NODEID", "1"}, {"SLURM_LOCALID", "3"}}))) ==
        "Slurm 10/11 here 3/4 node01:29500 '77.0'");
  CHECK(text(place_in(with(kSlurm, {{"SLURM_NODEID", "0"}}))) == "Slurm 10/11 here 2/4 node01:29500 '77.0'");
  CHECK(text(place_in(with(kSlurm, {{"SLURM_RESTART_COUNT", "2"}, {"SLURM_STEP_ID", "4"}}))) ==
        "Slurm 10/11 here 2/3 node01:29500 '77.4.2'");
  CHECK(text(place_in(with(kSlurm, {{"MASTER_ADDR", "ib0"}, {"MASTER_PORT", "1234"}, {"BONAFIDE_RUN_ID", "x"}}))) ==
        "Slurm 10/11 here 2/3 ib0:1234 'x'");
  CHECK(text(place_in(with(kSlurm, {{"WORLD_SIZE", "11"}}))) == "Slurm 10/11 here 2/3 node01:29500 '77.0'");
  CHECK(text(place_in(with(kSlurm, {{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "1"}}))) == "alone");

  // A step that is smaller than its job.
  const Environment small = with(kSlurm, {{"SLURM_STEP_NUM_TASKS", "4"},
                                          {"SLURM_STEP_TASKS_PER_NODE", "2(x2)"},
                                          {"SLURM_STEP_NODELIST", "node07,gpu5"},
                                          {"SLURM_PROCID", "3"},
                                          {"SLURM_LOCALID", "1"}});
  CHECK(text(place_in(small)) == "Slurm 3/4 here 1/2 node07:29500 '77.0'");
  // All nodes alike: which one does not matter.
  CHECK(text(place_in(with(small, {{"SLURM_NODEID", "-"}}))) == "Slurm 3/4 here 1/2 node07:29500 '77.0'");
  CHECK(text(place_in(with(small, {{"SLURM_STEP_TASKS_PER_NODE", "-"},
                                   {"SLURM_TASKS_PER_NODE", "-"},
                                   {"SLURM_NTASKS_PER_NODE", "4"}}))) == "Slurm 3/4 here 1/4 node07:29500 '77.0'");

  // The shells of sbatch and salloc.
  CHECK(text(place_in(with(kSlurm, {{"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "-"}}))) == "alone");
  CHECK(text(place_in(with(kSlurm, {{"SLURM_PROCID", "-"}}))) == "alone");
  for (const char* step : {"4294967290", "4294967291", "4294967280"})
    CHECK(text(place_in(with(kSlurm, {{"SLURM_STEP_ID", step}}))) == "alone");
  CHECK(text(place_in(with(kSlurm, {{"SLURM_STEP_ID", "4294967279"}}))) ==
        "Slurm 10/11 here 2/3 node01:29500 '77.4294967279'");
}

TEST_CASE("process place: the first of Slurm's hosts") {
  const auto first = [](const char* list) { return place_in(with(kSlurm, {{"SLURM_NODELIST", list}}))->address; };
  CHECK(first("node01") == "node01");
  CHECK(first("node01,node02") == "node01");
  CHECK(first("node[01-03,07],gpu5") == "node01");
  CHECK(first("node[007,01-03]") == "node007");
  CHECK(first("gpu5,node[01-03]") == "gpu5");
  CHECK(first("my-node-5") == "my-node-5");
  CHECK(first("rack[2-3,5]-n[10,12].x,other[1]") == "rack2-n10.x");
  CHECK(first("n[5]") == "n5");
  for (const char* bad : {",", "node[01-03", "[", "[]"})
    expect_throw(str("SLURM_NODELIST=", bad, ": expected a list of hosts"), [&] { first(bad); });
}

TEST_CASE("process place: how many tasks Slurm started on a node") {
  const auto tasks = [](const char* list, const char* node) {
    return place_in(with(kSlurm, {{"SLURM_NTASKS", "5000"},
                                  {"SLURM_LOCALID", "0"},
                                  {"SLURM_TASKS_PER_NODE", list},
                                  {"SLURM_NODEID", node}}))
        ->local_world;
  };
  CHECK(tasks("7", "0") == 7);
  CHECK(tasks("3(x1000000000),2", "999999999") == 3);
  CHECK(tasks("3(x1000000000),2", "1000000000") == 2);
  CHECK(tasks("1,2(x2),5", "0") == 1);
  CHECK(tasks("1,2(x2),5", "2") == 2);
  CHECK(tasks("1,2(x2),5", "3") == 5);
  expect_throw("SLURM_TASKS_PER_NODE=1,2(x2),5: expected as many nodes as there are", [&] { tasks("1,2(x2),5", "4"); });
  for (const char* bad : {"x", ",4", "4(x2", "4(2)", "4(x)", "(x2)", "4 ", "-4", "99999999999"})
    expect_throw(str("SLURM_TASKS_PER_NODE=", bad, ": expected a list such as 4(x2),3"), [&] { tasks(bad, "0"); });
  expect_throw("SLURM_TASKS_PER_NODE=4,: expected a list", [&] { tasks("4,", "1"); });
  expect_throw("SLURM_TASKS_PER_NODE=4,3 is set, but not SLURM_NODEID", [&] { tasks("4,3", ""); });
}

TEST_CASE("process place: half and contradictory variables are named") {
  const auto torchrun = [](const Environment& changes) { return [=] { place_in(with(kTorchrun, changes)); }; };
  const auto slurm = [](const Environment& changes) { return [=] { place_in(with(kSlurm, changes)); }; };
  expect_throw("RANK=5 is set, but not WORLD_SIZE", torchrun({{"WORLD_SIZE", "-"}}));
  expect_throw("RANK=5 is set, but not WORLD_SIZE", torchrun({{"WORLD_SIZE", ""}}));
  expect_throw("RANK=5 is set, but not LOCAL_RANK", torchrun({{"LOCAL_RANK", "-"}}));
  expect_throw("RANK=5 is set, but not MASTER_ADDR", torchrun({{"MASTER_ADDR", "-"}}));
  expect_throw("WORLD_SIZE=8 is set, but not RANK", torchrun({{"RANK", "-"}}));
  expect_throw("LOCAL_RANK=0 is set, but not RANK", [] { place_in({{"LOCAL_RANK", "0"}}); });
  expect_throw("RANK=8, WORLD_SIZE=8: expected a rank below the number of processes", torchrun({{"RANK", "8"}}));
  expect_throw("LOCAL_RANK=4, LOCAL_WORLD_SIZE=4: expected a rank below", torchrun({{"LOCAL_RANK", "4"}}));
  expect_throw("LOCAL_RANK=9, WORLD_SIZE=8: expected a rank below",
               torchrun({{"LOCAL_RANK", "9"}, {"LOCAL_WORLD_SIZE", "-"}}));
  expect_throw("LOCAL_WORLD_SIZE=9, WORLD_SIZE=8: expected no more processes", torchrun({{"LOCAL_WORLD_SIZE", "9"}}));
  CHECK(text(place_in(with(kTorchrun, {{"LOCAL_WORLD_SIZE", "8"}}))) == "torchrun 5/8 here 1/8 gpu7:4001 'abc'");
  expect_throw("RANK=0, WORLD_SIZE=0", torchrun({{"RANK", "0"}, {"WORLD_SIZE", "0"}}));
  for (const char* bad : {"five", "5x", " 5", "-1", "+5", "5.0", "99999999999"}) {
    expect_throw(str("RANK=", bad, ": expected a whole number"), torchrun({{"RANK", bad}}));
    expect_throw(str("WORLD_SIZE=", bad, ": expected a whole number"), torchrun({{"WORLD_SIZE", bad}}));
    expect_throw(str("MASTER_PORT=", bad, ": expected a port from 1 to 65535"), torchrun({{"MASTER_PORT", bad}}));
  }
  for (const char* bad : {"0", "65536"})
    expect_throw(str("BONAFIDE_PORT=", bad, ": expected a port"), torchrun({{"BONAFIDE_PORT", bad}}));
  expect_throw("MASTER_PORT=65535: expected room for one more port", torchrun({{"MASTER_PORT", "65535"}}));
  CHECK(text(place_in(with(kTorchrun, {{"MASTER_PORT", "65534"}}))) == "torchrun 5/8 here 1/4 gpu7:65535 'abc'");

  expect_throw("SLURM_PROCID=10 is set, but not SLURM_STEP_NUM_TASKS or SLURM_NTASKS", slurm({{"SLURM_NTASKS", "-"}}));
  expect_throw("SLURM_PROCID=10 is set, but not SLURM_LOCALID", slurm({{"SLURM_LOCALID", "-"}}));
  expect_throw(
      "SLURM_PROCID=10 is set, but not SLURM_STEP_TASKS_PER_NODE or SLURM_TASKS_PER_NODE or SLURM_NTASKS_PER_NODE",
      slurm({{"SLURM_TASKS_PER_NODE", "-"}}));
  expect_throw("SLURM_PROCID=10 is set, but not SLURM_STEP_NODELIST or SLURM_NODELIST or SLURM_JOB_NODELIST",
               slurm({{"SLURM_NODELIST", "-"}}));
  expect_throw("SLURM_STEP_ID=0 is set, but not SLURM_JOB_ID", slurm({{"SLURM_JOB_ID", "-"}}));
  expect_throw("SLURM_PROCID=11, SLURM_NTASKS=11: expected a rank below", slurm({{"SLURM_PROCID", "11"}}));
  expect_throw("SLURM_LOCALID=3, SLURM_TASKS_PER_NODE=4(x2),3, SLURM_NTASKS=11: these contradict each other",
               slurm({{"SLURM_LOCALID", "3"}}));
  expect_throw("SLURM_LOCALID=2, SLURM_TASKS_PER_NODE=12, SLURM_NTASKS=11: these contradict",
               slurm({{"SLURM_TASKS_PER_NODE", "12"}}));
  CHECK(text(place_in(with(kSlurm, {{"SLURM_TASKS_PER_NODE", "11"}}))) == "Slurm 10/11 here 2/11 node01:29500 '77.0'");
  expect_throw("WORLD_SIZE=8, but Slurm started 11 processes", slurm({{"WORLD_SIZE", "8"}}));
  expect_throw("WORLD_SIZE=8, but mpirun started 3 processes", [] { place_in(with(kOpenMpi, {{"WORLD_SIZE", "8"}})); });
  // Contradicting a single process, too.
  expect_throw("WORLD_SIZE=8, but Slurm started 1 processes",
               slurm({{"WORLD_SIZE", "8"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "1"}}));
}

TEST_CASE("process place: this process's own variables") {
  CHECK(environment_variable("PATH") == std::string(::getenv("PATH")));
  CHECK(environment_variable("BONAFIDE_NO_SUCH_VARIABLE") == std::nullopt);
}
