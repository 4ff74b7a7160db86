// bench/all_reduce.cpp — how fast processes speak to each other: a table as nccl-tests print it.
//
//   all_reduce [--procs N] [--device cpu|cuda] [--op all_reduce|all_gather|broadcast] [--type f32|bf16|all]
//              [--min BYTES] [--max BYTES] [--seconds S] [--json FILE]
//
// Starts N processes on this machine (default: every GPU, or 2 on the CPU), or is one of those that torchrun, srun or mpirun
// started: there --procs means nothing. Gloo between CPU processes, NCCL between GPUs, in the settings that training uses.
//
//   size   bytes of the result (all_gather: of all pieces together), from --min to --max, four times as many in each line
//   time   of one operation: the median of at least 5 repetitions, after a warm-up, of the slowest process
//   algbw, busbw   algorithm and bus bandwidth, in 10^9 bytes a second: bench/collectives.h has the difference
//   #wrong   elements that are not exactly the expected whole number, of all processes, looked at before the timing
#include <chrono>
#include <cmath>

#include "bench/collectives.h"
#include "bench/processes.h"
#include "engine/host_values.h"
#include "engine/tensor.h"

using namespace bonafide;
using bench::Collective;

namespace {

struct Options {
  int procs = 0;
  bool gpu = false;
  Collective op = Collective::all_reduce;
  std::string type = "all", json;
  double min = 8, max = 128 << 20, seconds = 0.3;
};

Options parse(int argc, char** argv) {
  Options o;
  o.gpu = cuda::device_count() > 0;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    if (i + 1 == argc) throw Error(option + " needs a value");
    const std::string value = argv[i + 1];
    if (option == "--procs") o.procs = bench::number<int>(option, value);
    else if (option == "--device" && (value == "cpu" || value == "cuda")) o.gpu = value == "cuda";
    else if (option == "--op" && value == "all_reduce") o.op = Collective::all_reduce;
    else if (option == "--op" && value == "all_gather") o.op = Collective::all_gather;
    else if (option == "--op" && value == "broadcast") o.op = Collective::broadcast;
    else if (option == "--type" && (value == "f32" || value == "bf16" || value == "all")) o.type = value;
    else if (option == "--min") o.min = bench::number<double>(option, value);
    else if (option == "--max") o.max = bench::number<double>(option, value);
    else if (option == "--seconds") o.seconds = bench::number<double>(option, value);
    else if (option == "--json") o.json = value;
    else throw Error(str("unknown: ", option, " ", value, " (the first lines of bench/all_reduce.cpp list the options)"));
  }
  if (o.procs == 0) o.procs = o.gpu ? cuda::device_count() : 2;
  return o;
}

using Clock = std::chrono::steady_clock;
double now() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

// Whole numbers in [-2, 2]: the sums of up to 64 processes, and all sums on the way, are exact in bf16.
constexpr int kMostProcesses = 64;
float value(std::int64_t i, int rank) { return float((i * 7 + std::int64_t(rank) * 3) % 5 - 2); }

// One size of one operation.
class Case {
 public:
  Case(Context& ctx, const ProcessGroup& group, Collective op, DType type, double bytes)
      : ctx_(ctx), comm_(*group.device), op_(op), type_(type), world_(group.world()), rank_(group.rank()) {
    count_ = std::max<std::int64_t>(1, std::int64_t(bytes) / std::int64_t(size_of(type)));
    if (op == Collective::all_gather) count_ = std::max<std::int64_t>(1, count_ / world_) * world_;
    all_ = Tensor::zeros(ctx, {count_}, type, "all");
    if (op == Collective::all_gather) mine_ = Tensor::zeros(ctx, {count_ / world_}, type, "mine");
  }
  std::int64_t count() const { return count_; }
  double bytes() const { return double(count_) * double(size_of(type_)); }

  // How many elements of the result are wrong here.
  double wrong() {
    const std::int64_t piece = op_ == Collective::all_gather ? count_ / world_ : count_;
    std::vector<float> v(std::size_t(piece), 0.0f);
    for (std::int64_t i = 0; i < piece; ++i) v[std::size_t(i)] = value(i, rank_);
    (mine_ ? mine_ : all_).copy_from_host(v);
    run();
    const std::vector<float> got = all_.to_host();
    double n = 0;
    for (std::int64_t i = 0; i < count_; ++i) {
      float want = 0;
      if (op_ == Collective::all_gather) want = value(i % piece, int(i / piece));
      else if (op_ == Collective::broadcast) want = value(i, 0);
      else
        for (int r = 0; r < world_; ++r) want += value(i, r);
      n += got[std::size_t(i)] != want;
    }
    return n;
  }

  // Seconds of one operation.
  double seconds(double budget) {
    all_.set_to_zero();
    if (mine_) Tensor(mine_).set_to_zero();
    const int together = bytes() < 1 << 20 ? 10 : 1;  // a GPU is waited for once in so many
    const auto repetition = [&] {
      const double start = now();
      for (int i = 0; i < together; ++i) run();
      ctx_.synchronize();
      return (now() - start) / together;
    };
    comm_.barrier();
    repetition();
    const double first = slowest(repetition());
    const int repetitions = std::clamp(int(budget / (first * together)), 5, 200);  // the same everywhere: `first` is
    std::vector<double> times;
    for (int i = 0; i < repetitions; ++i) times.push_back(repetition());
    return slowest(bench::median(times));
  }

 private:
  void run() {
    if (op_ == Collective::all_gather) {
      comm_.all_gather(mine_.cspan(), all_.span());
    } else if (op_ == Collective::broadcast) {
      comm_.broadcast({reinterpret_cast<std::uint8_t*>(all_.span().ptr), count_ * 4}, 0);
    } else {
      type_ == DType::bf16 ? comm_.begin_all_reduce_sum(all_.span<bf16>()) : comm_.begin_all_reduce_sum(all_.span());
      comm_.finish();
    }
  }
  double slowest(double mine) {
    Tensor one = Tensor::full(ctx_, {1}, float(mine)), all = Tensor::zeros(ctx_, {world_});
    comm_.all_gather(one.cspan(), all.span());
    const std::vector<float> v = all.to_host();
    return double(*std::max_element(v.begin(), v.end()));
  }

  Context& ctx_;
  Communicator& comm_;
  Collective op_;
  DType type_;
  int world_, rank_;
  std::int64_t count_ = 0;
  Tensor all_, mine_;
};

void measure(Context& ctx, const ProcessGroup& group, const Options& o) {
  if (group.world() < 2) throw Error("one process has nobody to speak to: --procs 2");
  if (group.world() > kMostProcesses) throw Error(str("sums are checked for at most ", kMostProcesses, " processes, here are ", group.world()));
  const nlohmann::json about = bench::machine(ctx.on_gpu());
  nlohmann::json rows = nlohmann::json::array();
  if (group.lead()) {
    std::printf("# %s of %d processes, %s\n#%13s %12s %6s %12s %10s %10s %8s\n#%13s %12s %6s %12s %10s %10s\n", name_of(o.op), group.world(),
                ctx.on_gpu() ? "NCCL" : "Gloo", "size", "count", "type", "time", "algbw", "busbw", "#wrong", "(B)", "(elements)", "", "(us)", "(GB/s)", "(GB/s)");
  }
  double wrong_of_all = 0;
  for (const DType type : {DType::f32, DType::bf16}) {
    if (o.type != "all" && o.type != name_of(type)) continue;
    if (type == DType::bf16 && o.op != Collective::all_reduce) continue;  // the others move bytes
    for (double bytes = o.min; bytes <= o.max; bytes *= 4) {
      Case c(ctx, group, o.op, type, bytes);
      std::vector<float> wrong{float(c.wrong())};
      group.host->all_reduce_sum(wrong);
      wrong_of_all += double(wrong[0]);
      const double s = c.seconds(o.seconds), algorithm = bench::algorithm_bandwidth(c.bytes(), s), bus = bench::bus_bandwidth(o.op, group.world(), c.bytes(), s);
      if (!group.lead()) continue;
      std::printf("%14.0f %12lld %6s %12.2f %10.3f %10.3f %8.0f\n", c.bytes(), static_cast<long long>(c.count()), name_of(type), 1e6 * s, algorithm / 1e9, bus / 1e9, double(wrong[0]));
      std::fflush(stdout);
      rows.push_back({{"bytes", c.bytes()}, {"type", name_of(type)}, {"seconds", s}, {"algorithm_bandwidth", algorithm}, {"bus_bandwidth", bus}, {"wrong", wrong[0]}});
    }
  }
  if (group.lead()) bench::write_json(o.json, {{"machine", about}, {"operation", name_of(o.op)}, {"processes", group.world()}, {"transport", ctx.on_gpu() ? "NCCL" : "Gloo"}, {"rows", rows}});
  if (wrong_of_all > 0) throw Error(str(wrong_of_all, " elements are wrong"));
}

}  // namespace

int main(int argc, char** argv) try {
  const Options o = parse(argc, argv);
  return bench::in_processes(argc, argv, o.procs, o.gpu, [&](Context& ctx, const ProcessGroup& group) { measure(ctx, group, o); });
} catch (const std::exception& e) {
  std::fprintf(stderr, "all_reduce: %s\n", e.what());
  return 2;
}
