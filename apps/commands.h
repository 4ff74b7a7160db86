// apps/commands.h — the verbs of `bonafide <verb>`. One file per command; commands.cpp lists them.
//
// A command receives its own words: argv[0] is the verb. It returns an exit code (apps/common/exit_codes.h); a
// UsageError that it throws becomes 2, any other exception 1.
#pragma once

namespace bonafide {

int run_train(int argc, char** argv);      // apps/train.cpp
int run_eval(int argc, char** argv);       // apps/eval.cpp
int run_crop(int argc, char** argv);       // apps/crop.cpp
int run_embed(int argc, char** argv);      // apps/embed.cpp
int run_match(int argc, char** argv);      // apps/match.cpp
int run_join(int argc, char** argv);       // apps/join.cpp
int run_purge(int argc, char** argv);      // apps/purge.cpp
int run_check(int argc, char** argv);      // apps/check.cpp
int run_pack(int argc, char** argv);       // apps/pack.cpp
int run_synth(int argc, char** argv);      // apps/synth.cpp
int run_demo_data(int argc, char** argv);  // apps/demo_data.cpp
int run_doctor(int argc, char** argv);     // apps/doctor.cpp

// The whole program: finds the verb (or the name it was called by: bonafide-train is `bonafide train`) and runs it.
int run_program(int argc, char** argv);

}  // namespace bonafide
