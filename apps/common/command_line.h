// apps/common/command_line.h — CLI11 for a command: `--help` ends with 0, a wrong word is a UsageError. Slow to
// compile: only for the file of a command.
#pragma once
#include <CLI/CLI.hpp>

#include "apps/common/exit_codes.h"

namespace bonafide {

// False where only help was wanted (it has been printed).
inline bool parse_words(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::CallForHelp& e) {
    app.exit(e);
    return false;
  } catch (const CLI::ParseError& e) {
    throw UsageError(std::string(e.what()) + " (" + app.get_name() + " --help lists the options)");
  }
}

}  // namespace bonafide
