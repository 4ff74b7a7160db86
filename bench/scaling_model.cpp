// bench/scaling_model.cpp — the time of a training step of n processes, predicted.
//
//   scaling_model                prints the tables of docs/scaling.md: 2 to 64 GPUs, predicted, not measured
//   scaling_model FILE.json...   what `process_step --json` and `all_reduce --json` measured on one machine: predicts every
//                                measured step of several processes from the pieces of one process's step with as many
//                                images a process, and from the times of all_reduce (and all_gather, where it is there) of as
//                                many processes. Prints prediction, measurement and the error of the prediction
//
// Of CPU processes: each has as many threads as the one had. Where that is more threads than cores, computing takes so much
// longer; and where no core is left over for the sums, backward stands still while one runs (interference 1, else 0). What
// the model leaves out: processes that wait for each other's memory and caches, and whatever else runs on the machine.
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "bench/scaling_tables.h"

using namespace bonafide;
using bench::number;

namespace {

using Json = nlohmann::json;

void tables() {
  std::printf("ConvNeXt-V2 tiny, 224 pixels, bf16, on H200s. PREDICTED, not measured: bench/scaling_tables.h says from what.\n\n");
  std::printf("%s\nWeak scaling, predicted\n\n%s\nStrong scaling, 1024 images, NVLink and InfiniBand, predicted\n\n%s", bench::bucket_table().c_str(), bench::weak_table().c_str(),
              bench::strong_table().c_str());
}

struct Measured {
  std::vector<Json> steps;
  std::map<std::string, std::map<int, bench::MeasuredTimes>> collectives;  // by operation and number of processes; f32
};

Measured read(int argc, char** argv) {
  Measured m;
  for (int i = 1; i < argc; ++i) {
    std::ifstream in(argv[i]);
    if (!in) throw Error(str("cannot read ", argv[i]));
    const Json file = Json::parse(in);
    for (const Json& j : file.is_array() ? file : Json::array({file})) {
      if (j.contains("seconds")) {
        m.steps.push_back(j);
        continue;
      }
      bench::MeasuredTimes& t = m.collectives[j.at("operation")][j.at("processes")];
      for (const Json& r : j.at("rows"))
        if (r.at("type") == "f32") t.bytes.push_back(r.at("bytes")), t.seconds.push_back(r.at("seconds"));
    }
  }
  return m;
}

int threads(const Json& step) {
  const std::string t = step.at("threads");
  return t.empty() ? step.at("machine").at("cores").get<int>() : std::stoi(t);
}

// The step of one process with as many images as each of these has.
const Json* alone(const Measured& m, const Json& step) {
  for (const Json& s : m.steps) {
    bool same = s.at("processes") == 1 && s.at("batch").get<double>() * step.at("processes").get<double>() == step.at("batch").get<double>() && threads(s) == threads(step);
    for (const char* key : {"model", "side", "precision"}) same = same && s.at(key) == step.at(key);
    if (same) return &s;
  }
  return nullptr;
}

bench::StepTime predict(const Measured& m, const Json& one, const Json& step) {
  const int n = step.at("processes"), cores = step.at("machine").at("cores");
  const double slower = std::max(1.0, double(n) * threads(step) / cores);
  const Json& s = one.at("seconds");
  const auto seconds = [&](const char* name) { return slower * s.at(name).get<double>(); };
  bench::StepPieces p{seconds("forward"), seconds("loss"), seconds("backward") + seconds("wait"), seconds("optimiser"), {}};
  // Sizes of these buckets, which another type of sums may have halved; moments of the one process's.
  const Json &sizes = step.at("buckets"), &moments = one.at("buckets");
  if (sizes.size() != moments.size()) throw Error("the steps have different buckets: measure both with one --bucket-mb");
  for (std::size_t i = 0; i < sizes.size(); ++i) p.buckets.push_back({sizes[i].at("bytes"), slower * moments[i].at("begins").get<double>()});
  const auto of = [&](const char* operation) -> const bench::MeasuredTimes& {
    const auto all = m.collectives.find(operation);
    if (all == m.collectives.end() || !all->second.count(n)) throw Error(str("no ", operation, " of ", n, " processes among the files"));
    return all->second.at(n);
  };
  const bench::MeasuredTimes &sum = of("all_reduce"), &gather = m.collectives.count("all_gather") ? of("all_gather") : sum;
  const double batch = step.at("batch");
  bench::Communication c;
  c.sum = [&](double bytes) { return sum(bytes); };
  c.gathers = 2 * gather(4 * batch) + gather(4 * 3 * batch) + gather(4 * 128 * batch);
  c.ask = sum(8);
  c.interference = n * threads(step) >= cores ? 1 : 0;
  return bench::step_time(p, c);
}

int compare(const Measured& m) {
  std::printf("| model | processes | images | images a process | step of one process with these, ms | predicted, ms | measured, ms | error of the prediction |\n|---|---|---|---|---|---|---|---|\n");
  int rows = 0;
  for (const Json& step : m.steps) {
    const int n = step.at("processes");
    if (n == 1) continue;
    const Json* one = alone(m, step);
    if (!one) throw Error(str("no step of one process with ", step.at("batch").get<int>() / n, " images of ", step.at("model").get<std::string>(), " among the files"));
    const double predicted = predict(m, *one, step).step, measured = step.at("seconds").at("step");
    std::printf("%s", bench::row({step.at("model"), std::to_string(n), std::to_string(step.at("batch").get<int>()), std::to_string(step.at("batch").get<int>() / n),
                                  number(1e3 * one->at("seconds").at("step").get<double>(), 1), number(1e3 * predicted, 1), number(1e3 * measured, 1),
                                  str(predicted >= measured ? "+" : "", number(100 * (predicted / measured - 1), 0), " %")}).c_str());
    ++rows;
  }
  if (rows == 0) throw Error("no step of several processes among the files");
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 1) return tables(), 0;
  return compare(read(argc, argv));
} catch (const std::exception& e) {
  std::fprintf(stderr, "scaling_model: %s\n", e.what());
  return 1;
}
