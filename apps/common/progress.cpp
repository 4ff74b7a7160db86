// apps/common/progress.cpp — see progress.h.
#include "apps/common/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace bonafide {
namespace {

constexpr double kRedrawSeconds = 0.1, kLineSeconds = 10;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class... Args>
std::string printed(const char* format, Args... args) {
  char text[160];
  std::snprintf(text, sizeof text, format, args...);
  return text;
}

}  // namespace

std::string duration_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  const auto s = std::int64_t(std::llround(seconds)), days = s / 86400;
  if (days)
    return printed("%lldd %02lld:%02lld:%02lld", (long long)days, (long long)(s / 3600 % 24), (long long)(s / 60 % 60),
                   (long long)(s % 60));
  return printed("%lld:%02lld:%02lld", (long long)(s / 3600), (long long)(s / 60 % 60), (long long)(s % 60));
}

Terminal Terminal::of(std::FILE* stream) {
  Terminal t;
  const char *term = std::getenv("TERM"), *no_color = std::getenv("NO_COLOR");
  t.updating = ::isatty(::fileno(stream)) && term && std::strcmp(term, "dumb") != 0;
  t.color = t.updating && !(no_color && *no_color);
  winsize size{};
  if (t.updating && ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) t.columns = size.ws_col;
  return t;
}

Progress::Progress(std::FILE* out, std::function<void(std::string_view)> log)
    : Progress(out, Terminal::of(out), std::move(log), steady_seconds) {}

Progress::Progress(std::FILE* out, Terminal terminal, std::function<void(std::string_view)> log,
                   std::function<double()> now)
    : out_(out), terminal_(terminal), log_(std::move(log)), now_(std::move(now)) {
  last_step_ = now_();
}

Progress::~Progress() {
  std::lock_guard lock(mutex_);
  erase();
  std::fflush(out_);
}

void Progress::report(const Step& s) {
  std::lock_guard lock(mutex_);
  const double now = now_(), step_s = now - last_step_;
  last_step_ = now;
  if (std::isfinite(s.loss)) loss_.add(s.loss);
  step_s_.add(step_s), wait_s_.add(s.wait_s), images_.add(double(s.images));

  const bool last = s.step >= s.steps;
  if (!due(now, last)) return;
  const double speed = step_s_.get() > 0 ? images_.get() / step_s_.get() : 0;
  const double waiting = step_s_.get() > 0 ? std::min(1.0, wait_s_.get() / step_s_.get()) : 0;
  const auto epoch = printed("[T] ep %lld/%lld  ", (long long)s.epoch, (long long)s.epochs);
  const auto step =
      printed("%lld/%lld %d%%", (long long)s.step, (long long)s.steps, int(s.steps ? 100 * s.step / s.steps : 100));
  const auto rest = printed("  loss %.4f  lr %.2e  %.*f img/s  data %.0f%%  left %s",
                            std::isfinite(s.loss) ? loss_.get() : s.loss, s.learning_rate, speed < 10 ? 1 : 0, speed,
                            100 * waiting, duration_text(double(s.steps - s.step) * step_s_.get()).c_str());
  show(epoch + step + rest, last);
}

void Progress::report(const Count& c) {
  std::lock_guard lock(mutex_);
  const double now = now_();
  if (first_count_ < 0) first_count_ = now;
  const bool last = c.done >= c.total;
  if (!due(now, last)) return;
  const double seconds = now - first_count_, here = double(c.done - c.before);
  const double speed = seconds > 0 ? here / seconds : 0;
  const auto rejected = c.rejected < 0 ? std::string() : printed("  %lld rejected", (long long)c.rejected);
  show(printed("[%.*s] %lld/%lld %d%%%s  %.*f img/s  left %s", int(c.command.size()), c.command.data(), (long long)c.done,
               (long long)c.total, int(c.total ? 100 * c.done / c.total : 100), rejected.c_str(), speed < 10 ? 1 : 0, speed,
               duration_text(last ? 0 : double(c.total - c.done) / speed).c_str()),
       last);
}

// Whether it is time for another line; if so, it is taken as shown now.
bool Progress::due(double now, bool last) {
  if (!last && now - last_shown_ < (terminal_.updating ? kRedrawSeconds : kLineSeconds)) return false;
  last_shown_ = now;
  return true;
}

void Progress::show(const std::string& text, bool last) {
  if (terminal_.updating && !last)
    redraw(text);
  else
    print(text);
}

void Progress::resume() {
  std::lock_guard lock(mutex_);
  last_step_ = now_();
}

void Progress::line(std::string_view text) {
  std::lock_guard lock(mutex_);
  print(text);
}

void Progress::warning(std::string_view text) {
  std::lock_guard lock(mutex_);
  erase();
  std::fprintf(out_, terminal_.color ? "\x1b[33mwarning:\x1b[0m %.*s\n" : "warning: %.*s\n", int(text.size()),
               text.data());
  std::fflush(out_);
  if (log_) log_("warning: " + std::string(text));
}

void Progress::print(std::string_view text) {
  erase();
  std::fprintf(out_, "%.*s\n", int(text.size()), text.data());
  std::fflush(out_);
  if (log_) log_(text);
}

void Progress::redraw(const std::string& text) {
  // One column stays free: a line that fills the last one would wrap on some terminals.
  const auto width = std::size_t(std::max(terminal_.columns - 1, 1));
  std::fprintf(out_, "\r%s\x1b[K", text.substr(0, width).c_str());
  std::fflush(out_);
  drawn_ = true;
}

void Progress::erase() {
  if (drawn_) std::fputs("\r\x1b[K", out_);
  drawn_ = false;
}

}  // namespace bonafide
