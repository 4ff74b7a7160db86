// data/check_findings.h — what the checks of data/check*.cpp share: the rows they are about, and where findings go.
#pragma once
#include <algorithm>

#include "data/check.h"

namespace bonafide {

// One row of one list that takes part (no reject_reason).
struct CheckRow {
  std::size_t list = 0, record = 0;
  std::string split;       // its own, or the list's name
  std::int64_t image = -1; // of the checked images, if there are any
};

class Findings {
 public:
  Findings(const std::vector<CheckedList>& lists, const CheckSettings& settings) : lists_(lists), settings_(settings) {}

  const Record& record(const CheckRow& r) const { return lists_[r.list].manifest.records[r.record]; }
  // "train.csv:7: anna/1.jpg"
  std::string where(const CheckRow& r) const { return str(lists_[r.list].manifest.where(record(r)), ": ", record(r).filename); }

  // A finding under construction: rows come in, and it is kept if there was one.
  class Rows {
   public:
    Rows(Findings& to, Severity severity, std::string check) : to_(to), severity_(severity), check_(std::move(check)) {}
    void add(std::string row) {
      ++count_;
      if (count_ <= to_.settings_.most_rows) rows_.push_back(std::move(row));
    }
    std::int64_t count() const { return count_; }
    template <class... What>
    void done(const What&... what) {
      if (count_ > 0) to_.all.push_back({to_.severity_of(check_, severity_), check_, str(what...), count_, std::move(rows_)});
    }

   private:
    Findings& to_;
    Severity severity_;
    std::string check_;
    std::int64_t count_ = 0;
    std::vector<std::string> rows_;
  };
  Rows rows(Severity severity, std::string check) { return Rows(*this, severity, std::move(check)); }
  // A finding that is about no row in particular.
  void add(Severity severity, const std::string& check, std::string what, std::int64_t count) {
    all.push_back({severity_of(check, severity), check, std::move(what), count, {}});
  }

  std::vector<Finding> all;

 private:
  Severity severity_of(const std::string& check, Severity own) const {
    const auto it = settings_.severity.find(check);
    return it == settings_.severity.end() ? own : it->second;
  }
  const std::vector<CheckedList>& lists_;
  const CheckSettings& settings_;
};

// data/check_embeddings.cpp: embeddings, near-duplicates, people, label-errors. How many rows have an embedding.
std::int64_t check_embeddings(Findings& f, const std::vector<CheckRow>& rows, const EmbeddingsFile& file, Context& ctx, const CheckSettings& settings,
                              const std::function<void(double share)>& progress);

}  // namespace bonafide
