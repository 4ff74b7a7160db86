// tests/support/main.cpp — runs one tier. The last line is `N passed, N failed, N skipped`; ./dev test adds the tiers up.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "tests/support/support.h"

namespace {
// Counts test cases as people do: a case decorated with skip() is skipped; one left out by a command-line filter is not.
struct Totals : doctest::IReporter {
  int passed = 0, failed = 0, skipped = 0;
  explicit Totals(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {
    std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  }
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats& s) override { s.testCaseSuccess ? ++passed : ++failed; }
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData& c) override {
    if (!c.m_skip) return;
    ++skipped;
    std::printf("skipped: %s\n", c.m_name);
  }
};
REGISTER_LISTENER("totals", 1, Totals);
}  // namespace

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  std::printf("seed %u (BF_SEED)\n", bonafide::test::seed());
  return context.run();
}
