// engine/cuda_support.h — whether a program's CUDA code runs on a GPU, and why no GPU can be used: what can be said without
// CUDA's headers.
#pragma once
#include <string>

namespace bonafide::cuda {

// `architectures` as in CMAKE_CUDA_ARCHITECTURES, with commas between them: "90a" runs on compute capability 9.0 alone, "80"
// on 8.0 and, compiled by the driver, on all that are newer, "80-real" on 8.0 and later of major 8; a word such as "all"
// holds for every GPU.
bool holds_code_for(const std::string& architectures, int major, int minor);

// For people, when CUDA's runtime cannot even count the devices. Versions are CUDA's (12080 is 12.8), `driver` is 0 where none
// is installed; `reported` is what the runtime says of its error.
std::string why_not_counted(int driver, int runtime, const std::string& reported);

}  // namespace bonafide::cuda
