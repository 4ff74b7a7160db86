// apps/common/progress.h — what a training run or a data command says while it runs: one updating line on a terminal, whole
// lines elsewhere.
#pragma once
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <mutex>
#include <string>
#include <string_view>

namespace bonafide {

// What a stream can show. NO_COLOR and TERM=dumb are obeyed.
struct Terminal {
  bool updating = false;  // a terminal that understands carriage returns
  bool color = false;
  int columns = 80;
  static Terminal of(std::FILE* stream);
};

// Thread-safe. Nothing it prints depends on how often it is called, except how soon it is seen.
class Progress {
 public:
  // One finished training step. `wait_s`: how long the step waited for its data.
  struct Step {
    std::int64_t epoch = 0, epochs = 0;  // from 1
    std::int64_t step = 0, steps = 0;    // finished, of the whole run
    double loss = 0, learning_rate = 0;
    std::int64_t images = 0;
    double wait_s = 0;
  };

  // `log` receives every whole line (the run folder's train.log). `now` is a clock in seconds, for tests.
  explicit Progress(std::FILE* out, std::function<void(std::string_view)> log = {});
  Progress(std::FILE* out, Terminal terminal, std::function<void(std::string_view)> log, std::function<double()> now);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // "[T] ep 3/20  412/1240 33%  loss 0.2141  lr 1.62e-04  812 img/s  data 3%  left 0:18:40". Loss, speed and the share
  // of time spent waiting for data are running means over about the last 20 steps. On a terminal the line is redrawn at
  // most ten times a second; elsewhere a whole line appears for the first and the last step and every ten seconds.
  void report(const Step& step);
  // What a command that works through a list has done.
  struct Count {
    std::string_view command;            // "crop"
    std::int64_t done = 0, total = 0;    // inputs
    std::int64_t before = 0;             // of those done: by an earlier start of the command
    std::int64_t rejected = 0;           // -1: not known yet, not shown
  };
  // "[crop] 412/1240 33%  7 rejected  81 img/s  left 0:00:10", as often as a step is shown. Speed is that of this start as a
  // whole, from the first call on: call it once before the work begins.
  void report(const Count& count);
  // Call before going on after something that is no step (validation, saving): the clock of the next step starts here.
  void resume();

  void line(std::string_view text);     // a whole line above the updating one
  void warning(std::string_view text);  // the same, "warning: " before it, in colour where there is any

 private:
  struct Mean {
    double value = 0, weight = 0;
    void add(double x) { value += kRate * (x - value), weight += kRate * (1 - weight); }
    double get() const { return weight > 0 ? value / weight : 0; }
    static constexpr double kRate = 0.05;
  };
  bool due(double now, bool last);
  void show(const std::string& text, bool last);
  void print(std::string_view text);
  void redraw(const std::string& text);
  void erase();

  std::FILE* out_;
  Terminal terminal_;
  std::function<void(std::string_view)> log_;
  std::function<double()> now_;
  std::mutex mutex_;
  Mean loss_, step_s_, wait_s_, images_;
  double first_count_ = -1;  // when report(Count) was first called
  double last_step_ = 0, last_shown_ = -std::numeric_limits<double>::infinity();  // so that the first step is shown
  bool drawn_ = false;
};

// "0:18:40", "2d 03:00:00".
std::string duration_text(double seconds);

}  // namespace bonafide
