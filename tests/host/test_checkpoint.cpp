// tests/host/test_checkpoint.cpp — round trip, what is kept, and that a full disk leaves the old checkpoint alone.
#include "engine/checkpoint.h"

#include <fstream>
#include <set>

#include "engine/files.h"
#include "tests/support/full_disk.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

// What one step saves: weights that name the step, and a moment of the optimiser.
struct Model {
  std::vector<float> w, m;
  Model(std::int64_t step, std::size_t n = 4) : w(n, float(step)), m(2 * n, -float(step)) {}
  Checkpoint at(std::int64_t step) const {
    return {.step = step,
            .model = {stored_array("w", {std::int64_t(w.size())}, Span<const float>(w))},
            .model_metadata = {{"bonafide.format", "1"}},
            .state = {stored_array("adamw.m", {std::int64_t(m.size())}, Span<const float>(m))},
            .state_json = str("{\"best\": ", step, "}")};
  }
};

void save(CheckpointFolder& folder, std::int64_t step, bool best = false) { folder.save(Model(step).at(step), best); }

std::set<std::string> names(const fs::path& folder) {
  std::set<std::string> s;
  for (const auto& e : fs::directory_iterator(folder)) s.insert(e.path().filename().string());
  return s;
}
using Names = std::set<std::string>;

float weight(const fs::path& path) { return load_checkpoint(path).model.read<float>("w").at(0); }

}  // namespace

TEST_CASE("checkpoint: comes back whole, from any path that means it") {
  TempFolder run;
  CheckpointFolder folder(run.path() / "checkpoints", 3);
  CHECK_FALSE(folder.last());
  save(folder, 10, true);
  save(folder, 20);
  CHECK(folder.last()->filename() == "step-20");
  CHECK(folder.best()->filename() == "step-10");
  const LoadedCheckpoint c = load_checkpoint(run.path());
  CHECK(c.step == 20);
  CHECK(c.folder == fs::canonical(run.path() / "checkpoints" / "step-20"));
  CHECK(c.state_json == "{\"best\": 20}");
  CHECK(c.model.metadata("bonafide.format", "") == "1");
  CHECK(c.model.read<float>("w") == std::vector<float>(4, 20));
  CHECK(c.state.read<float>("adamw.m") == std::vector<float>(8, -20));
  CHECK(weight(run.path() / "checkpoints") == 20);
  CHECK(weight(run.path() / "checkpoints" / "best") == 10);
  CHECK(weight(run.path() / "checkpoints" / "step-10") == 10);
  fs::remove(run.path() / "checkpoints" / "last");  // lost in a crash: the newest is found by its number
  CHECK(weight(run.path()) == 20);
}

TEST_CASE("checkpoint: the newest and the best are kept, leftovers of a crash are not") {
  TempFolder run;
  CheckpointFolder folder(run.path(), 2);
  save(folder, 1, true);
  for (const std::int64_t step : {2, 3, 9}) save(folder, step);
  CHECK(names(run.path()) == Names{"step-1", "step-3", "step-9", "last", "best"});
  fs::create_directories(run.path() / ".step-10.77-0.tmp");
  fs::create_directories(run.path() / "step-x");  // not ours
  save(folder, 10, true);                         // as numbers, 10 is newer than 9
  CHECK(names(run.path()) == Names{"step-9", "step-10", "last", "best", "step-x"});
  CHECK(weight(run.path() / "best") == 10);

  CheckpointFolder all(run.path() / "all", 0);
  for (const std::int64_t step : {1, 2, 3}) save(all, step);
  CHECK(names(run.path() / "all") == Names{"step-1", "step-2", "step-3", "last"});
}

TEST_CASE("checkpoint: going on from an earlier one replaces the same step and drops the abandoned future") {
  TempFolder run;
  CheckpointFolder folder(run.path(), 5);
  for (const std::int64_t step : {5, 10, 15, 20}) save(folder, step, step == 20);
  folder.save(Model(777).at(10), false);
  CHECK(names(run.path()) == Names{"step-5", "step-10", "step-20", "last", "best"});  // the best one stays
  CHECK(weight(run.path()) == 777);
  CHECK(weight(run.path() / "best") == 20);
}

TEST_CASE("checkpoint: a full disk is an error that names the file, and the old checkpoint survives") {
  TempFolder run;
  CheckpointFolder folder(run.path() / "checkpoints", 1);
  save(folder, 1, true);
  const Model large(2, 100'000);
  for (const std::int64_t step : {2, 1}) {  // a new step, and the step that is there already
    // no byte, a part of the model, the model but not the state
    for (const rlim_t limit : {rlim_t(0), rlim_t(4096), rlim_t(500'000)}) {
      const FullDisk full(limit);
      expect_throw("safetensors: cannot write: File too large", [&] { folder.save(large.at(step), true); });
    }
    CHECK(names(run.path() / "checkpoints") == Names{"step-1", "last", "best"});
    CHECK(weight(run.path()) == 1);
    CHECK(load_checkpoint(run.path()).state.read<float>("adamw.m") == std::vector<float>(8, -1));
  }
  folder.save(large.at(2), false);  // room again: training goes on
  CHECK(weight(run.path()) == 2);
}

TEST_CASE("checkpoint: what cannot be found or read is said by path") {
  TempFolder run;
  expect_throw("nowhere: no such file or folder", [&] { load_checkpoint(run.path() / "nowhere"); });
  expect_throw("no checkpoint here", [&] { load_checkpoint(run.path()); });
  CheckpointFolder folder(run.path(), 1);
  save(folder, 3);
  const fs::path state = run.path() / "step-3" / "state.safetensors";
  fs::resize_file(state, fs::file_size(state) - 1);
  expect_throw("step-3/state.safetensors: tensor 'adamw.m': ends at byte", [&] { load_checkpoint(run.path()); });
  write_safetensors(state, {}, {{"bonafide.step", "three"}});
  expect_throw("state.safetensors: metadata 'bonafide.step' is 'three', expected a step number",
               [&] { load_checkpoint(run.path()); });
  std::ofstream(run.path() / "a-file") << "x";
  CheckpointFolder blocked(run.path() / "a-file" / "checkpoints", 1);
  expect_throw("cannot create the folder", [&] { save(blocked, 1); });
}
