// apps/common/build_info.h — what this program is and what it runs on: for --version, doctor and a run's env.json.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace bonafide {

using Facts = std::vector<std::pair<std::string, std::string>>;  // in the order to print them

std::string version_line();  // "bonafide 0.1.0 (git 1234567)"
Facts build_facts();         // compiler, flags, libraries
Facts machine_facts();       // host, processor, its features, threads, memory
int usable_cores();          // that this process may run on

}  // namespace bonafide
