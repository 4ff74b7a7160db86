// engine/comm/process_place.cpp — see process_place.h.
#include "engine/comm/process_place.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <string_view>

#include "engine/base.h"

namespace bonafide {
namespace {

constexpr int kPort = 29500;  // torchrun's
constexpr std::int64_t kSpecialSteps =
    0xfffffff0;  // Slurm's steps from here on are batch scripts, salloc's shells and the like

// Digits and nothing else.
template <class Int>
std::optional<Int> whole_number(std::string_view text) {
  Int value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || value < 0) return std::nullopt;
  return value;
}

// A variable that is there and not empty.
struct Variable {
  const char* name;
  std::string text;

  [[noreturn]] void expected(std::string_view what) const { throw Error(str(name, "=", text, ": expected ", what)); }
  int number() const {
    if (const auto n = whole_number<int>(text)) return *n;
    expected("a whole number");
  }
  int port() const {
    const auto n = whole_number<int>(text);
    if (!n || *n < 1 || *n > 65535) expected("a port from 1 to 65535");
    return *n;
  }
};

class Variables {
 public:
  using Lookup = std::function<std::optional<std::string>(const char*)>;
  explicit Variables(const Lookup& lookup) : lookup_(lookup) {}

  // The first of them that is there.
  std::optional<Variable> find(std::initializer_list<const char*> names) const {
    for (const char* name : names)
      if (auto text = lookup_(name); text && !text->empty()) return Variable{name, std::move(*text)};
    return std::nullopt;
  }
  // One that must be there because another is.
  Variable need(const Variable& because, std::initializer_list<const char*> names) const {
    if (auto found = find(names)) return std::move(*found);
    std::string wanted;
    for (const char* name : names) wanted += (wanted.empty() ? "" : " or ") + std::string(name);
    throw Error(str(because.name, "=", because.text, " is set, but not ", wanted));
  }

 private:
  const Lookup& lookup_;
};

// The two that use the same words for other names.
struct Names {
  const char *source, *rank, *world, *local_rank, *local_world;
};
constexpr Names kTorchrun = {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"};
constexpr Names kOpenMpi = {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
                            "OMPI_COMM_WORLD_LOCAL_SIZE"};

void check_below(const Variable& rank, const Variable& world) {
  if (rank.number() >= world.number())
    throw Error(str(rank.name, "=", rank.text, ", ", world.name, "=", world.text,
                    ": expected a rank below the number of processes"));
}

std::optional<ProcessPlace> named_place(const Variables& env, const Names& names) {
  const auto rank = env.find({names.rank});
  if (!rank) return std::nullopt;
  const Variable world = env.need(*rank, {names.world});
  check_below(*rank, world);
  ProcessPlace place;
  place.rank = rank->number(), place.world = world.number(), place.source = names.source;
  if (place.world == 1) return place;  // has nobody to be confused with
  const Variable local_rank = env.need(*rank, {names.local_rank});
  // Scripts that hand on what srun says leave LOCAL_WORLD_SIZE out.
  const Variable local_world =
      &names == &kTorchrun ? env.find({names.local_world}).value_or(world) : env.need(*rank, {names.local_world});
  check_below(local_rank, local_world);
  place.local_rank = local_rank.number(), place.local_world = local_world.number();
  if (place.local_world > place.world)
    throw Error(str(local_world.name, "=", local_world.text, ", ", world.name, "=", world.text,
                    ": expected no more processes on a host than in all"));
  return place;
}

// "4(x2),3": the first two nodes have four tasks each, the third has three.
int tasks_on_node(const Variable& list, int node) {
  const std::string_view text = list.text;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    std::string_view tasks = text.substr(at, end - at), nodes = "1";
    if (const auto open = tasks.find("(x"); open != tasks.npos && tasks.ends_with(')')) {
      nodes = tasks.substr(open + 2, tasks.size() - open - 3);
      tasks = tasks.substr(0, open);
    }
    const auto n = whole_number<int>(tasks), times = whole_number<int>(nodes);
    if (!n || !times) list.expected("a list such as 4(x2),3");
    if (node < *times) return *n;
    node -= *times;
    at = end + 1;
  }
  list.expected("as many nodes as there are");
}

// "node[01-03,07],gpu5" begins with node01.
std::string first_host(const Variable& list) {
  std::string host;
  bool inside = false, skipping = false;  // of brackets; of what follows the first name in them
  for (const char c : list.text) {
    if (c == ',' && !inside) break;
    if (c == '[') {
      inside = true;
    } else if (c == ']') {
      inside = skipping = false;
    } else if (inside && (c == '-' || c == ',')) {
      skipping = true;
    } else if (!skipping) {
      host += c;
    }
  }
  if (inside || host.empty()) list.expected("a list of hosts such as node[01-03],gpu5");
  return host;
}

std::optional<ProcessPlace> slurm_place(const Variables& env) {
  const auto rank = env.find({"SLURM_PROCID"}), step = env.find({"SLURM_STEP_ID"});
  if (!rank || !step) return std::nullopt;
  if (const auto id = whole_number<std::int64_t>(step->text); id && *id >= kSpecialSteps) return std::nullopt;
  // What the step has, before what the job was given: a step may be smaller.
  const Variable world = env.need(*rank, {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"});
  check_below(*rank, world);
  ProcessPlace place;
  place.rank = rank->number(), place.world = world.number(), place.source = "Slurm";
  if (place.world == 1) return place;
  const Variable local_rank = env.need(*rank, {"SLURM_LOCALID"}),
                 tasks =
                     env.need(*rank, {"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE"});
  const bool all_nodes_alike = tasks.text.find(',') == tasks.text.npos;
  place.local_rank = local_rank.number();
  place.local_world = tasks_on_node(tasks, all_nodes_alike ? 0 : env.need(tasks, {"SLURM_NODEID"}).number());
  if (place.local_rank >= place.local_world || place.local_world > place.world)
    throw Error(str("SLURM_LOCALID=", local_rank.text, ", ", tasks.name, "=", tasks.text, ", ", world.name, "=",
                    world.text, ": these contradict each other"));
  return place;
}

std::string address_of(const Variables& env, const ProcessPlace& place) {
  if (const auto given = env.find({"MASTER_ADDR"})) return given->text;
  if (place.source == "Slurm")
    return first_host(
        env.need({"SLURM_PROCID", str(place.rank)}, {"SLURM_STEP_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST"}));
  if (place.source != "mpirun") return env.need({"RANK", str(place.rank)}, {"MASTER_ADDR"}).text;
  if (place.local_world == place.world) return "127.0.0.1";
  throw Error(str("mpirun started ", place.world,
                  " processes on several hosts: MASTER_ADDR must name the host of rank 0 (mpirun -x MASTER_ADDR=...)"));
}

int port_of(const Variables& env, const ProcessPlace& place) {
  if (const auto ours = env.find({"BONAFIDE_PORT"})) return ours->port();
  const auto master = env.find({"MASTER_PORT"});
  if (!master) return kPort;
  // torchrun's agent serves a store of PyTorch's on MASTER_PORT: there is nothing for us there but an address in use.
  const auto agent = env.find({"TORCHELASTIC_USE_AGENT_STORE"});
  const int port = master->port() + (place.source == "torchrun" && agent && agent->text == "True");
  if (port > 65535)
    master->expected("room for one more port above: torchrun uses this one itself (or set BONAFIDE_PORT)");
  return port;
}

std::string run_id_of(const Variables& env, const ProcessPlace& place) {
  // Not with TORCHELASTIC_RESTART_COUNT: agents count only the failures of their own host, so that hosts would differ.
  std::string id;
  if (const auto ours = env.find({"BONAFIDE_RUN_ID"})) {
    id = ours->text;
  } else if (place.source == "torchrun") {
    if (const auto theirs = env.find({"TORCHELASTIC_RUN_ID"}); theirs && theirs->text != "none")
      id = theirs->text;  // its default
  } else if (place.source == "mpirun") {
    if (const auto job = env.find({"PMIX_NAMESPACE"})) id = job->text;
  } else if (place.source == "Slurm") {
    const Variable step = env.need({"SLURM_PROCID", str(place.rank)}, {"SLURM_STEP_ID"});
    id = str(env.need(step, {"SLURM_JOB_ID"}).text, ".", step.text);
  }
  // A job that is requeued keeps its number, and its steps begin at 0 again.
  if (const auto requeued = env.find({"SLURM_RESTART_COUNT"}); requeued && place.source == "Slurm")
    id += "." + requeued->text;
  return id;
}

}  // namespace

std::optional<std::string> environment_variable(const char* name) {
  const char* text = std::getenv(name);
  return text ? std::optional<std::string>(text) : std::nullopt;
}

std::optional<ProcessPlace> process_place(const Variables::Lookup& variable) {
  const Variables env(variable);
  std::optional<ProcessPlace> place = named_place(env, kTorchrun);
  if (place) {
    // Only our launcher gives a run id and has no torchrun around it.
    if (env.find({"BONAFIDE_RUN_ID"}) && !env.find({"TORCHELASTIC_RUN_ID"})) place->source = "bonafide";
  } else {
    place = named_place(env, kOpenMpi);
    if (!place) place = slurm_place(env);
    // Scripts for clusters often export WORLD_SIZE and leave the rank to mpirun or srun.
    if (const auto half = env.find({"WORLD_SIZE", "LOCAL_RANK"})) {
      if (!place) env.need(*half, {"RANK"});
      const auto world = env.find({"WORLD_SIZE"});
      if (world && world->number() != place->world)
        throw Error(str("WORLD_SIZE=", world->text, ", but ", place->source, " started ", place->world, " processes"));
    }
  }
  if (!place || (place->world == 1 && place->source != "bonafide")) return std::nullopt;
  place->address = address_of(env, *place);
  place->port = port_of(env, *place);
  place->run_id = run_id_of(env, *place);
  return place;
}

}  // namespace bonafide
