// apps/train.cpp — `bonafide train`: from lists of photographs to checkpoints. The loop; what a step is lives in
// apps/common/trainer.h. On several devices this command starts itself once for each (start_workers.h).
#include <omp.h>

#include <chrono>
#include <cstdio>
#include <optional>

#include "apps/commands.h"
#include "apps/common/agreement.h"
#include "apps/common/command_line.h"
#include "apps/common/device.h"
#include "apps/common/joint_requests.h"
#include "apps/common/launcher.h"
#include "apps/common/metrics_log.h"
#include "apps/common/options.h"
#include "apps/common/progress.h"
#include "apps/common/run_folder.h"
#include "apps/common/signals.h"
#include "apps/common/start_workers.h"
#include "apps/common/trainer.h"
#include "apps/common/worker_output.h"
#include "engine/comm/process_place.h"
#include "engine/files.h"

namespace bonafide {
namespace {

struct Options {
  std::vector<std::string> configs, overrides;
  std::string resume, init_from, name, device, gpus, precision, rendezvous;
  int threads = 0, procs = 1, restarts = 0;
  bool print_config = false, dry_run = false, overfit = false, no_check = false;
};

std::optional<Options> parse(int argc, char** argv) {
  Options o;
  CLI::App app("Trains a face attack detector. Settings are key=value; a file of them is given with --config, and values on "
               "the command line win.", "bonafide train");
  app.footer("\nSettings:\n" + option_help());
  app.add_option("--config", o.configs, "JSON file with comments; may be repeated, later files win")->allow_extra_args(false);
  app.add_option("settings", o.overrides, "key=value");
  app.add_option("--resume", o.resume, "go on in this run folder (or from one of its checkpoints)");
  app.add_option("--init-from", o.init_from, "start from the weights of this model file or published checkpoint");
  app.add_option("--name", o.name, "name of the run folder; default: date, model and size");
  app.add_option("--device", o.device, "the setting of this name: auto, cpu or cuda");
  app.add_option("--gpus", o.gpus, "numbers of the GPUs to use, from 0, as in 0,1; default: all");
  app.add_option("--procs", o.procs, "processes on the CPU, with --device cpu; they train as one")->check(CLI::Range(1, 1024));
  app.add_option("--rendezvous", o.rendezvous, "where processes of several machines meet: file:///a/shared/folder; default: MASTER_ADDR and MASTER_PORT");
  app.add_option("--restart-on-failure", o.restarts, "how often to go on from the last checkpoint when a process fails")->check(CLI::Range(0, 1000));
  app.add_option("--precision", o.precision, "the setting of this name: auto, f32, tf32 or bf16");
  app.add_option("--threads", o.threads, "CPU threads of the network; 0: all cores")->check(CLI::Range(0, 1024));
  app.add_flag("--print-config", o.print_config, "print every setting with its origin, and end");
  app.add_flag("--dry-run", o.dry_run, "read everything, run one step and one validation, write nothing");
  app.add_flag("--no-check", o.no_check, "no comparison of the precision with f32 at the start, no search for the layer behind a NaN");
  app.add_flag("--overfit-one-batch", o.overfit, "train on the first batch alone: its loss must vanish");
  if (!parse_words(app, argc, argv)) return std::nullopt;
  if (!o.device.empty()) o.overrides.push_back("device=" + o.device);
  if (!o.precision.empty()) o.overrides.push_back("precision=" + o.precision);
  if (!o.resume.empty() && !o.init_from.empty()) throw UsageError("--resume and --init-from exclude each other");
  return o;
}

const std::vector<std::string> kColumns = {
    "epoch", "step", "loss", "classification", "contrastive", "learning_rate", "grad_norm", "images_per_second", "wait_share",
    "val_eer", "val_auc", "val_acer", "val_bpcer", "val_worst_apcer", "wall_seconds"};

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string validation_line(const Validation& v, std::int64_t epoch, bool best) {
  const Report& r = v.report;
  char text[256];
  std::snprintf(text, sizeof text, "[V] ep %lld  EER %.2f%%  AUC %.4f  worst APCER %.1f%% (%s, n=%lld)  BPCER %.1f%% (n=%lld)  @ own EER%s",
                static_cast<long long>(epoch), 100 * r.eer.value, r.auc, 100 * r.rates.worst_species().apcer.value(),
                r.rates.worst_species().species.name().c_str(), static_cast<long long>(r.rates.worst_species().apcer.n),
                100 * r.rates.bpcer.value(), static_cast<long long>(r.rates.bpcer.n), best ? "  *best" : "");
  return text;
}

// One run: everything around Trainer::step(). Of several processes rank 0 writes the files.
class Run {
 public:
  Run(const LoadedConfig& config, Trainer& trainer, RunFolder& folder, const ProcessGroup& group)
      : config_(config.values), trainer_(trainer), folder_(folder), group_(group), checkpoints_(folder.checkpoints(), int(config_.trainer.keep)),
        progress_(stderr, [this](std::string_view s) { folder_.log(s); }) {
    if (group_.lead()) metrics_.emplace(folder.path(), kColumns);
  }

  void resumed() {
    if (metrics_) metrics_->cut_back(trainer_.next_step());
    progress_.line(str("resumed after step ", trainer_.next_step()));
  }

  int loop() {
    // Until everybody is here Ctrl-C ends every process. One that took it for a request while another is still preparing would
    // go on, and fail for want of the one that it ended.
    group_.host->barrier();
    StopSignals signals;
    JointRequests requests(signals, *group_.host);
    try {
      const int status = steps(requests);
      group_.host->barrier();  // who leaves in the middle of the others' last operation looks as if it had failed
      return status;
    } catch (const std::exception& e) {  // before `requests` gives up: then the others fail, and may be heard of first
      failed(e);
      throw;
    }
  }

 private:
  int steps(JointRequests& requests) {
    const double start = seconds();
    double last = start;
    while (!trainer_.done()) {
      requests.ask();
      const StepResult r = trainer_.step();
      const std::int64_t done = r.step + 1;
      const double now = seconds();
      if (r.skipped) progress_.warning(str("step ", done, " skipped: loss ", r.loss, ", gradient norm ", r.grad_norm, r.culprit.empty() ? "" : "; first not finite: ", r.culprit));
      progress_.report({.epoch = r.epoch + 1, .epochs = config_.trainer.epochs, .step = done, .steps = trainer_.total_steps(),
                        .loss = r.loss, .learning_rate = r.learning_rate, .images = r.images, .wait_s = r.waited_seconds});
      std::map<std::string, double> row{
          {"epoch", double(r.epoch)}, {"step", double(done)}, {"loss", r.loss}, {"classification", r.classification},
          {"contrastive", r.contrastive}, {"learning_rate", r.learning_rate}, {"grad_norm", r.grad_norm},
          {"images_per_second", double(r.images) / (now - last)}, {"wait_share", r.waited_seconds / (now - last)},
          {"wall_seconds", now - start}};
      const Requests asked = requests.answer();
      const bool stop = asked.stop, last_step = trainer_.done();
      bool best = false;
      if (trainer_.has_validation() && (last_step || due(done, config_.trainer.eval_every))) best = validate(r.epoch + 1, row);
      if (metrics_) metrics_->append(row);
      if (stop || last_step || best || due(done, config_.trainer.checkpoint_every) || asked.save) save(best);
      if (stop) {
        progress_.line(str("interrupted after step ", done, "; go on with: bonafide train --resume ", folder_.path().string()));
        return kExitInterrupted;
      }
      last = seconds();
      if (last - now > 0.01) progress_.resume();
    }
    return kExitOk;
  }

  void failed(const std::exception& e) const {
    report_failure(words_of(e));
    if (!group_.lead()) std::fprintf(stderr, "%s\n", words_of(e));  // into this rank's log
    try {
      folder_.log(words_of(e));
    } catch (const std::exception&) {  // the disk is full, say. What is to be told is `e`
    }
  }

  bool due(std::int64_t done, std::int64_t every) const { return done % (every > 0 ? every : trainer_.steps_per_epoch()) == 0; }

  bool validate(std::int64_t epoch, std::map<std::string, double>& row) {
    const Validation v = trainer_.validate();
    const Report& r = v.report;
    row["val_eer"] = r.eer.value, row["val_auc"] = r.auc, row["val_acer"] = r.rates.acer_pooled();
    row["val_bpcer"] = r.rates.bpcer.value(), row["val_worst_apcer"] = r.rates.worst_species().apcer.value();
    const bool best = !trainer_.best || v.selected < *trainer_.best ||
                      (v.selected == *trainer_.best && config_.select.ties == "later");
    if (best) trainer_.best = v.selected, trainer_.best_step = trainer_.next_step();
    progress_.line(validation_line(v, epoch, best));
    if (group_.lead()) write_report(folder_.eval("val"), r);
    return best;
  }

  void save(bool best) {
    const Checkpoint c = trainer_.checkpoint();
    if (group_.lead()) checkpoints_.save(c, best);
  }

  const TrainConfig& config_;
  Trainer& trainer_;
  RunFolder& folder_;
  const ProcessGroup& group_;
  CheckpointFolder checkpoints_;
  std::optional<MetricsLog> metrics_;
  Progress progress_;
};

// Settings that may change between a run and its resumption without changing what is computed, or that only make it longer.
bool harmless(const std::string& change) {
  for (const char* key : {"trainer.keep", "trainer.epochs", "trainer.eval_every", "trainer.checkpoint_every", "trainer.weights_save_folder",
                          "train_dataloader.num_workers", "val_dataloader.num_workers", "simulate.cache_bytes", "distributed.timeout_seconds", "optimizer.shard_state"})
    if (change.rfind(std::string(key) + ":", 0) == 0) return true;
  return false;
}

std::string banner(const Trainer& t, const TrainConfig& c, PairedModel& model, const ChosenDevice& device, const ProcessGroup& group) {
  const std::string processes = group.world() == 1 ? "" : str(", rank ", group.rank(), " of ", group.world(), " processes");
  return str("device ", device.words, processes, ", precision ", choose_precision(c.precision, device.device).name,
             ", score = P(attack)\nmodel ", c.model.model_name, ", ", parameter_count(paired_model_parameters(model.config())),
             " parameters, input ", c.model_input_size, "x", c.model_input_size, "\n", t.data_summary(), t.steps_per_epoch(),
             " steps an epoch, ", t.total_steps(), " in all");
}

void self_check(Trainer& t, const Options& o) {
  if (o.no_check) return;
  if (const std::string result = t.self_check(); !result.empty()) std::fprintf(stderr, "%s\n", result.c_str());
}

int dry_run(Trainer& t) {
  const StepResult r = t.step();
  std::printf("one step: loss %.4f (classification %.4f, contrastive %.4f), gradient norm %.3f, %lld images\n", r.loss, r.classification,
              r.contrastive, r.grad_norm, static_cast<long long>(r.images));
  if (t.has_validation()) std::printf("%s\n", validation_line(t.validate(), 0, false).c_str());
  std::printf("%s", t.model().parameters().context().allocator().stats().table().c_str());
  return kExitOk;
}


// The settings of this run. A resumed run starts from its own; the command line may still change what does not break it.
LoadedConfig configuration(const Options& o) {
  if (o.resume.empty()) return load_config(o.configs, o.overrides);
  if (!o.configs.empty()) throw UsageError("--resume takes its settings from the run folder; change single ones with key=value");
  const RunFolder folder = RunFolder::look_at(o.resume);
  const std::string name = (folder.path() / "config.json").string();
  const LoadedConfig before = load_config_text(folder.config_text(), name);
  LoadedConfig config = load_config_text(folder.config_text(), name, o.overrides);
  for (const auto& change : changed_values(before.values, config.values))
    if (!harmless(change)) throw UsageError(str("--resume: ", change, " would make another run of it; use --init-from for that"));
    else config.warnings.push_back("changed: " + change);
  return config;
}

// Those words of the command line that a restart from a checkpoint needs again.
std::vector<std::string> resume_words(const Options& o) {
  std::vector<std::string> words;
  const auto keep = [&](const char* option, const std::string& value) {
    if (!value.empty()) words.insert(words.end(), {option, value});
  };
  keep("--gpus", o.gpus), keep("--rendezvous", o.rendezvous);
  if (o.threads > 0) keep("--threads", std::to_string(o.threads));
  if (o.no_check) words.push_back("--no-check");
  return words;
}

// The run folder of all processes: rank 0 makes or opens it, and tells the others.
RunFolder common_folder(const Options& o, const LoadedConfig& config, const ProcessGroup& group) {
  std::optional<RunFolder> folder;
  if (group.lead())
    folder = !o.resume.empty() ? RunFolder::open(o.resume)
                               : RunFolder::create(config.values.trainer.weights_save_folder, o.name.empty() ? run_name(config.values) : o.name);
  std::vector<std::uint8_t> path(4096);
  if (folder) {
    const std::string text = std::filesystem::absolute(folder->path()).string();
    if (text.size() > path.size()) throw Error(text + ": the path is too long");
    std::copy(text.begin(), text.end(), path.begin());
  }
  group.host->broadcast(path, 0);
  if (!folder) folder = RunFolder::look_at_new(std::string(reinterpret_cast<const char*>(path.data())));
  return *folder;
}

// Everybody has read the same checkpoint, also where disks are not as shared as they seem.
void agree_on_step(const Trainer& trainer, const ProcessGroup& group) {
  std::vector<float> mine{float(trainer.next_step())}, all(std::size_t(group.world()));
  group.host->all_gather(mine, all);
  for (int r = 0; r < group.world(); ++r)
    if (all[std::size_t(r)] != all[0])
      throw Error(str("--resume: rank 0 has a checkpoint of step ", all[0], ", rank ", r, " of step ", all[std::size_t(r)]));
}

// One of the processes, connected.
int train(const Options& o, const LoadedConfig& config, Context& ctx, const ChosenDevice& device, const ProcessGroup& group,
          std::optional<WorkerOutput>& quiet, int argc, char** argv) {
  const std::string modes = str(o.overfit, o.dry_run, o.no_check, !o.resume.empty(), !o.init_from.empty());
  agree_on_start(config.values, device.device, o.init_from, modes, *group.host);
  Trainer trainer(ctx, config.values, group);
  if (!o.init_from.empty()) trainer.init_from(o.init_from);
  if (o.overfit) trainer.overfit_one_batch();
  const std::string facts = banner(trainer, config.values, trainer.model(), device, group);
  std::fprintf(stderr, "%s\n", facts.c_str());
  trainer.explain_non_finite(!o.no_check);
  if (o.dry_run) {
    self_check(trainer, o);
    return dry_run(trainer);
  }

  RunFolder folder = common_folder(o, config, group);
  if (group.lead()) {
    folder.describe(config, argc, argv);
    folder.log(facts);
    write_file_atomically(folder.path() / "data.json", trainer.data_json());
    tell_run_folder(folder.path());
  } else {
    quiet->to(folder.log_of(group.rank()));
    std::fprintf(stderr, "%s\n", facts.c_str());
  }
  std::fprintf(stderr, "run %s\n", folder.path().c_str());
  Run run(config, trainer, folder, group);
  if (!o.resume.empty()) {
    trainer.restore(load_checkpoint(o.resume));
    agree_on_step(trainer, group);
    run.resumed();
  }
  self_check(trainer, o);
  const int status = run.loop();
  std::printf("run          %s\n", folder.path().c_str());
  if (trainer.best) std::printf("best         %s after step %lld\n", config.values.select.metric.c_str(), static_cast<long long>(trainer.best_step));
  return status;
}

}  // namespace

int run_train(int argc, char** argv) {
  ignore_save_requests();  // before there is anything to save, and in workers from their beginning
  const auto options = parse(argc, argv);
  if (!options) return kExitOk;
  const Options& o = *options;
  const LoadedConfig config = configuration(o);
  if (o.print_config) {
    std::fputs(print_config(config).c_str(), stdout);
    return kExitOk;
  }
  if (!is_worker()) {
    const int count = device_count(config.values.device, o.gpus, o.procs);
    if (count > 1 || o.restarts > 0)
      return start_workers({.count = count, .restarts = o.restarts, .words = {argv + 1, argv + argc}, .resume_words = resume_words(o)});
  }
  const ProcessPlace place = process_place().value_or(ProcessPlace{});
  std::optional<WorkerOutput> quiet;
  if (place.rank > 0) quiet.emplace();
  for (const auto& w : config.warnings) std::fprintf(stderr, "%s%s\n", w.starts_with("changed: ") ? "" : "warning: ", w.c_str());
  const ChosenDevice device = choose_device(config.values.device, o.gpus, place.local_rank);
  if (o.threads > 0) omp_set_num_threads(o.threads);

  Context ctx(device.device);
  const std::chrono::milliseconds timeout(std::int64_t(1e3 * config.values.distributed.timeout_seconds));
  const ProcessGroup group = connect(ctx, place, {.rendezvous = o.rendezvous, .meeting_timeout = timeout, .timeout = timeout});
  try {
    return train(o, config, ctx, device, group, quiet, argc, argv);
  } catch (const std::exception& e) {  // before the connections go: then the others fail, and may be heard of first
    report_failure(words_of(e));
    throw;
  }
}

}  // namespace bonafide
