// tests/e2e/test_commands.cpp — the program as a user meets it: exit codes, files, messages, interruption.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <regex>
#include <thread>

#include "data/images/encode.h"
#include "engine/files.h"
#include "engine/safetensors.h"
#include "tests/e2e/program.h"
#include "tests/e2e/toy_data.h"
#include "tests/e2e/toy_run.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

TEST_CASE("commands: train writes a run folder that says everything, eval scores and measures") {
  const ToyData data;
  expect(bonafide_program(train_words(data, "a")), 0, "run ");
  const fs::path run = run_of(data, "a");
  for (const char* file : {"config.json", "config.origin.json", "command.txt", "env.json", "data.json", "train.log", "metrics.csv",
                           "metrics.jsonl", "checkpoints/last/model.safetensors", "checkpoints/best/state.safetensors", "eval/val/metrics.json"})
    CHECK_MESSAGE(fs::exists(run / file), file);
  CHECK(lines(run / "metrics.csv") == 41);  // a header and 10 epochs of 4 steps
  CHECK(lines(run / "metrics.jsonl") == 40);

  const auto out = (data.root / "submission.txt").string();
  const auto r = bonafide_program({"eval", "--checkpoint", run.string(), "--protocol", data.protocol.string(), "--bbox-csv",
                                   data.boxes.string(), "--root-dir", data.root.string(), "--output", out, "--scores",
                                   (data.root / "scores.csv").string(), "--report-dir", (data.root / "report").string(),
                                   "--contact-sheet", (data.root / "new" / "folder" / "sheet.png").string()});
  expect(r, 0, "8 genuine, 16 attacks");
  CHECK(r.text.find("AUC print") != std::string::npos);
  // `<path as in the protocol> <score with five decimals>`, LF between lines, none after the last.
  const std::string text = read_file(out), protocol = read_file(data.protocol);
  CHECK(text.back() != '\n');
  std::istringstream ours(text), theirs(protocol);
  const std::regex form("^\\S+ [01]\\.\\d{5}$");
  int n = 0;
  for (std::string a, b; std::getline(theirs, b); ++n) {
    REQUIRE(std::getline(ours, a));
    CHECK(std::regex_match(a, form));
    CHECK(a.substr(0, a.find(' ')) == b.substr(0, b.find(' ')));
  }
  CHECK(n == 24);
  // The zip holds the same bytes, deflated.
  const std::string zip = read_file(data.root / "submission.zip");
  REQUIRE(zip.substr(0, 4) == std::string("PK\3\4"));
  const std::size_t name = 30, body = name + std::string("submission.txt").size();
  CHECK(zip.substr(name, body - name) == "submission.txt");
  std::string back(text.size(), '\0');
  z_stream z{};
  REQUIRE(inflateInit2(&z, -MAX_WBITS) == Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zip.data() + body)), z.avail_in = uInt(zip.size() - body);
  z.next_out = reinterpret_cast<Bytef*>(back.data()), z.avail_out = uInt(back.size());
  CHECK(inflate(&z, Z_FINISH) == Z_STREAM_END);
  inflateEnd(&z);
  CHECK(back == text);
  for (const char* file : {"scores.csv", "report/metrics.json", "report/metrics.csv", "report/species.csv", "new/folder/sheet.png"})
    CHECK_MESSAGE(fs::exists(data.root / file), file);

  // A second run of the same name does not touch the first; --init-from starts from its weights.
  expect(bonafide_program(train_words(data, "a", {"--init-from", (run / "checkpoints/last/model.safetensors").string(), "trainer.max_steps=2"})),
         0, "a-2");
  CHECK(lines(run / "metrics.csv") == 41);
}

TEST_CASE("commands: interrupted training exits with 130, and resumed it ends with the same bits") {
  const ToyData data;
  expect(bonafide_program(train_words(data, "whole", {"trainer.epochs=40"})), 0, "run ");
  const fs::path run = run_of(data, "cut");
  const auto cut = bonafide_program(train_words(data, "cut", {"trainer.epochs=40"}), {.file = run / "checkpoints/last/model.safetensors"});
  expect(cut, 130, "go on with: bonafide train --resume");
  CHECK(lines(run / "metrics.csv") < 161);
  const auto resumed = bonafide_program({"train", "--resume", run.string()});
  expect(resumed, 0, "resumed after step");
  CHECK(lines(run / "metrics.csv") == 161);
  CHECK(final_weights(run) == final_weights(run_of(data, "whole")));
  expect(bonafide_program({"train", "--resume", run.string(), "scheduler.max_lr=1"}), 2, "another run");
}

TEST_CASE("commands: dry run, printed configuration and help write nothing") {
  const ToyData data;
  expect(bonafide_program(train_words(data, "x", {"--dry-run"})), 0, "one step: loss");
  expect(bonafide_program(train_words(data, "x", {"--print-config"})), 0, "command line");
  expect(bonafide_program({"train", "--help"}), 0, "scheduler.max_lr");
  expect(bonafide_program({"eval", "--help"}), 0, "--bbox-csv");
  CHECK_FALSE(fs::exists(data.root / "runs"));
  expect(bonafide_program(train_words(data, "x", {"--overfit-one-batch", "trainer.max_steps=3"})), 0, "run ");
}

TEST_CASE("commands: wrong usage is exit 2 and names what is wrong") {
  const ToyData data;
  expect(bonafide_program(train_words(data, "x", {"trainer.epoch=3"})), 2, "trainer.epochs");
  expect(bonafide_program(train_words(data, "x", {"loss.type=hinge"})), 2, "loss.type");
  expect(bonafide_program(train_words(data, "x", {"--gpus", "0"})), 2, "no GPU can be used: ");
  expect(bonafide_program(train_words(data, "x", {"model.pretrained=true"})), 2, "CC-BY-NC");
  expect(bonafide_program({"train", "--config", "nowhere.json"}), 2, "nowhere.json");
  expect(bonafide_program({"eval", "--protocol", "p.txt"}), 2, "--checkpoint");
  expect(bonafide_program({"evaluate"}), 2, "eval");
}

TEST_CASE("commands: bad photographs and lists are exit 1 and name file and line") {
  const ToyData data;
  expect(bonafide_program(train_words(data, "m", {"trainer.max_steps=1"})), 0, "run ");
  const std::string model = (run_of(data, "m") / "checkpoints/last/model.safetensors").string();
  const auto list = (data.root / "list.txt").string(), out = (data.root / "out.txt").string();
  const auto eval = [&](const std::string& lines, std::vector<std::string> more = {}) {
    write_file_atomically(list, lines);
    std::vector<std::string> words{"eval", "--checkpoint", model, "--protocol", list, "--root-dir", data.root.string(), "--output", out};
    words.insert(words.end(), more.begin(), more.end());
    return bonafide_program(words);
  };
  const std::string good = "val/8_0_0_0.png 0_0_0\nval/8_1_0_0.png 1_0_0\n";
  expect(eval(good), 0, "AUC");
  fs::remove(out);
  expect(eval(good + "val/none.png 1_0_0\n"), 1, "val/none.png");
  write_file_atomically(data.root / "empty.jpg", "");
  expect(eval(good + "empty.jpg 1_0_0\n"), 1, "empty.jpg");
  write_file_atomically(data.root / "text.jpg", "this is no photograph");
  expect(eval(good + "text.jpg 1_0_0\n"), 1, "text.jpg");
  CHECK_FALSE(fs::exists(out));  // no half-written answer
  write_png((data.root / "one.png").string(), Image(1, 1));
  expect(eval(good + "one.png 1_0_0\n"), 0, "AUC");  // tiny, but a photograph
  expect(eval(""), 1, "list.txt");
  expect(eval("val/8_0_0_0.png 0_0_0\nval/9_0_0_0.png 0_0_0\n"), 1, "both classes");  // one class: no rate is defined
  expect(eval("val/8_0_0_0.png\nval/8_1_0_0.png\n"), 0, "no labels");
  expect(eval(good, {"--bbox-csv", (data.root / "nowhere.csv").string()}), 1, "nowhere.csv");
  expect(eval(good, {"--checkpoint", (data.root / "nowhere").string()}), 2, "--checkpoint");
  write_file_atomically(data.root / "junk.safetensors", "junk");
  expect(bonafide_program({"eval", "--checkpoint", (data.root / "junk.safetensors").string(), "--protocol", list}), 1, "junk.safetensors");

  // Weights that are no numbers are named before anything is scored.
  const SafetensorsFile whole{fs::path(model)};
  std::vector<StoredArray> arrays = whole.arrays();
  const std::vector<float> nan(std::size_t(arrays[3].numel()), NAN);
  arrays[3].bytes = std::as_bytes(std::span(nan));
  write_safetensors(data.root / "nan.safetensors", arrays, whole.metadata());
  expect(bonafide_program({"eval", "--checkpoint", (data.root / "nan.safetensors").string(), "--protocol", list}), 1,
         "nan.safetensors: " + arrays[3].name + ": element 0 of");

  std::string manifest = read_file(data.train);
  manifest.replace(manifest.find("1_0_0"), 5, "9-9-9");
  write_file_atomically(data.root / "bad.csv", manifest);
  expect(bonafide_program(train_words(data, "x", {"paths.train_manifest=" + (data.root / "bad.csv").string()})), 1, "bad.csv:");
}

TEST_CASE("commands: SIGUSR1 before the first step and after the last does nothing; in between it saves") {
  const ToyData data;
  TrainConfig c = toy_config(data);
  c.trainer.epochs = 2;
  const fs::path pipe = data.root / "config.json";  // who opens it has begun, and goes on when it is written to
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const auto nudge = [](pid_t p) { ::kill(p, SIGUSR1), std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
  const Interrupt nudged{.file = data.train, .act = [&](pid_t p) {
                           int fd;
                           while ((fd = ::open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0 && alive(p)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                           for (int i = 0; i < 20; ++i) nudge(p);
                           const std::string text = config_json(c);
                           if (alive(p)) CHECK(::write(fd, text.data(), text.size()) == ssize_t(text.size()));
                           ::close(fd);
                           while (alive(p)) nudge(p);
                         }};
  expect(bonafide_program({"train", "--config", pipe.string(), "--name", "nudged", "trainer.weights_save_folder=" + (data.root / "runs").string()}, nudged), 0, "run ");
  CHECK(lines(run_of(data, "nudged") / "metrics.csv") == 9);
}

TEST_CASE("commands: an error in training is told although the log takes no more") {
  const ToyData data;
  expect(bonafide_program(train_words(data, "run", {"--device", "cpu", "trainer.epochs=1"})), 0, "run ");
  const fs::path run = run_of(data, "run"), log = run / "train.log";
  for (const auto& e : fs::directory_iterator(data.root / "train")) write_file_atomically(e.path(), "no picture");
  std::ofstream(log, std::ios::app) << std::string(200'000, '.') << "\n";  // longer than any other file to come
  const std::vector<std::string> words{"train", "--resume", run.string(), "--device", "cpu", "trainer.epochs=2"};
  const auto before = fs::file_size(log);
  expect(bonafide_program(words), 1, ".png");
  const std::string said = read_file(log).substr(before);
  CHECK(said.find(".png") != said.npos);  // its last line
  // The same once more, on a disk that is full five bytes before the end of that line.
  const auto full = before + 2 * said.size() - 5;
  const auto r = bonafide_program(words, {.prefix = {"prlimit", str("--fsize=", full), "--"}});
  expect(r, 1, ".png");
  CHECK(r.text.find("train.log") == r.text.npos);
  CHECK(fs::file_size(log) == full);
}
