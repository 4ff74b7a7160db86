// apps/common/metrics_log.h — metrics.csv and metrics.jsonl: the same rows, columns fixed for the whole run.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace bonafide {

class MetricsLog {
 public:
  // New files get `columns` as header; there must be one called "step". Files of a run that goes on must have the same.
  MetricsLog(const std::filesystem::path& folder, std::vector<std::string> columns);

  // Appends one row to both files, at once and for good. A column without a value is an empty cell, and not in the
  // JSON; a value without a column is an Error. NaN and infinities are `nan`, `inf`, and null in JSON.
  void append(const std::map<std::string, double>& values);

  // Drops the rows of later steps (training goes on from a checkpoint of `step`), and a last line that a crash cut off.
  void cut_back(std::int64_t step);

 private:
  std::filesystem::path csv_, jsonl_;
  std::vector<std::string> columns_;
};

}  // namespace bonafide
