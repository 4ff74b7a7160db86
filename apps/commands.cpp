// apps/commands.cpp — the list of commands, and how each is found and how its errors end.
#include "apps/commands.h"

#include <signal.h>

#include <array>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "apps/common/build_info.h"
#include "apps/common/exit_codes.h"
#include "apps/common/launcher.h"
#include "data/work_list.h"

namespace bonafide {
namespace {

struct Command {
  std::string_view name;
  const char* summary;
  int (*run)(int argc, char** argv);
};

constexpr std::array kCommands = {
    Command{"train", "trains a detector", run_train},
    Command{"eval", "scores photographs, and measures where there are labels", run_eval},
    Command{"crop", "finds faces: boxes, landmarks, crops", run_crop},
    Command{"embed", "makes a vector of every face, to compare them by", run_embed},
    Command{"match", "pairs every attack with the genuine face nearest to it", run_match},
    Command{"join", "face boxes into lists of photographs", run_join},
    Command{"purge", "erases a person from embeddings, lists and packed photographs", run_purge},
    Command{"check", "looks for what is wrong with lists and photographs before training", run_check},
    Command{"pack", "photographs into one file that training reads without decoding", run_pack},
    Command{"synth", "files of simulated attacks from genuine photographs", run_synth},
    Command{"demo-data", "a small data set from the photographs of Debian's libdlib19.1", run_demo_data},
    Command{"doctor", "what this build is and what it runs on", run_doctor},
};

void print_help(std::FILE* out) {
  std::fputs("usage: bonafide <command> [options]      (bonafide <command> --help explains one)\n\ncommands:\n", out);
  for (const Command& c : kCommands) std::fprintf(out, "  %-12s %s\n", std::string(c.name).c_str(), c.summary);
  std::fputs("\n  --version    version and build\n  --help       this list\n", out);
}

void print_version() {
  std::puts(version_line().c_str());
  for (const auto& [name, value] : build_facts()) std::printf("  %-14s %s\n", name.c_str(), value.c_str());
}

int run(const Command& command, int argc, char** argv) {
  const auto fail = [&](const char* what, int code) {
    std::fflush(stdout);
    if (!report_failure(what)) std::fprintf(stderr, "bonafide %s: %s\n", std::string(command.name).c_str(), what);
    return code;
  };
  try {
    return command.run(argc, argv);
  } catch (const UsageError& e) {
    return fail(e.what(), kExitUsage);
  } catch (const ForeignJournal& e) {
    return fail(e.what(), kExitUsage);
  } catch (const std::exception& e) {
    return fail(words_of(e), kExitError);
  }
}

const Command* find(std::string_view name) {
  for (const Command& c : kCommands)
    if (c.name == name) return &c;
  return nullptr;
}

}  // namespace

int run_program(int argc, char** argv) {
  ::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error with a message, not a silent end
  ::signal(SIGPIPE, SIG_IGN);

  std::string_view called = argc > 0 ? argv[0] : "";
  called.remove_prefix(called.rfind('/') + 1);  // npos + 1 is 0
  if (called.starts_with("bonafide-"))
    if (const Command* c = find(called.substr(9))) return run(*c, argc, argv);

  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "--version" || verb == "-V") return print_version(), kExitOk;
  if (verb == "--help" || verb == "-h" || verb == "help") return print_help(stdout), kExitOk;
  if (const Command* c = find(verb)) return run(*c, argc - 1, argv + 1);
  if (argc > 1) std::fprintf(stderr, "bonafide: unknown command '%s'\n\n", argv[1]);
  print_help(stderr);
  return kExitUsage;
}

}  // namespace bonafide
