// tests/emulated/launched_kernels.cpp — a kernel that no test has run is a failure of the emulated tier.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>

#include "kernels/emulator/launch.h"
#include "tests/support/support.h"

namespace {

namespace fs = std::filesystem;

// The kernels that *.simt.h define, by the name each gives itself.
std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  const std::regex name("kName = \"(\\w+)\"");
  for (const auto& e : fs::recursive_directory_iterator(fs::path(BF_SOURCE_DIR) / "kernels")) {
    if (!e.path().string().ends_with(".simt.h")) continue;
    std::ifstream in(e.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    for (std::sregex_iterator i(text.begin(), text.end(), name), end; i != end; ++i) names.push_back((*i)[1]);
  }
  return names;
}

struct LaunchedKernels : doctest::IReporter {
  const doctest::ContextOptions& options;
  explicit LaunchedKernels(const doctest::ContextOptions& o) : options(o) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats& s) override {
    if (s.numTestCasesPassingFilters != s.numTestCases) return;  // a part of the tier launches a part of the kernels
    int missing = 0;
    for (const std::string& name : kernel_names())
      if (bonafide::simt::launch_counts()[name].runs == 0) std::printf("no test runs the kernel %s\n", name.c_str()), ++missing;
    std::fflush(stdout);
    if (missing) std::_Exit(1);  // a listener cannot fail a run in another way
  }
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("launched kernels", 2, LaunchedKernels);

}  // namespace
