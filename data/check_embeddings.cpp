// data/check_embeddings.cpp — what embeddings say about a data set: pictures and people in two splits, labels that do not fit.
#include <cstdio>

#include "data/check_findings.h"
#include "data/nearest.h"

namespace bonafide {
namespace {

std::string decimals(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", v);
  return text;
}

struct Embedded {
  const CheckRow* row;
  std::int64_t vector;
};

// The row's vector in the file: by embedding_row where it has one, else by name. -1: none.
std::int64_t vector_of(const Record& r, const EmbeddingsFile& file) {
  return r.embedding_row >= 0 ? r.embedding_row : file.find(r.filename);
}

std::vector<Embedded> find_vectors(Findings& f, const std::vector<CheckRow>& rows, const EmbeddingsFile& file) {
  std::vector<Embedded> found;
  std::vector<float> v(static_cast<std::size_t>(file.dimension()));
  auto none = f.rows(Severity::warning, "embeddings"), wrong = f.rows(Severity::error, "embeddings"), bad = f.rows(Severity::error, "embeddings");
  for (const CheckRow& r : rows) {
    const Record& record = f.record(r);
    const std::int64_t at = vector_of(record, file);
    if (at < 0) {
      none.add(f.where(r));
    } else if (at >= file.rows() || file.faces()[std::size_t(at)].filename != record.filename) {
      wrong.add(str(f.where(r), ": embedding_row ", at, " of ", file.name(), " is ", at < file.rows() ? file.faces()[std::size_t(at)].filename : "not there"));
    } else {
      try {
        file.read(at, v);
        found.push_back({&r, at});
      } catch (const Error& e) {
        bad.add(str(f.where(r), ": ", e.what()));
      }
    }
  }
  bad.done("embeddings are no unit vectors");
  wrong.done("a row names another photograph's embedding");
  none.done("rows have no embedding");
  return found;
}

VectorSet vectors(const EmbeddingsFile& file, const std::vector<Embedded>& all, const std::vector<std::size_t>& chosen) {
  VectorSet set{file.bytes(), file.dimension(), {}};
  for (const std::size_t i : chosen) set.rows.push_back(all[i].vector);
  return set;
}

// Every row's nearest one in the other splits. A photograph that is in both splits is said to be so elsewhere.
void check_splits(Findings& f, const EmbeddingsFile& file, const std::vector<Embedded>& all, Context& ctx, const CheckSettings& settings,
                  const std::function<void(double)>& progress) {
  std::map<std::string_view, std::vector<std::size_t>> by_split;
  for (std::size_t i = 0; i < all.size(); ++i) by_split[all[i].row->split].push_back(i);
  auto nearly = f.rows(Severity::error, "near-duplicates"), people = f.rows(Severity::warning, "people");
  double done = 0;
  if (by_split.size() > 1)
    for (const auto& [split, queries] : by_split) {
      std::vector<std::size_t> others;
      for (const auto& [other, rows] : by_split)
        if (other != split) others.insert(others.end(), rows.begin(), rows.end());
      const double share = double(queries.size()) / double(all.size());
      const auto found = nearest(ctx, vectors(file, all, queries), vectors(file, all, others), 1,
                                 {.progress = [&](double s) { if (progress) progress(0.5 * (done + s * share)); }});
      done += share;
      for (std::size_t i = 0; i < queries.size(); ++i) {
        if (found[i].index < 0) continue;
        const Embedded &a = all[queries[i]], &b = all[others[std::size_t(found[i].index)]];
        if (a.vector == b.vector) continue;
        const auto text = [&] { return str(f.where(*a.row), ": split ", a.row->split, ", similarity ", decimals(found[i].similarity), " to ", f.where(*b.row), " in ", b.row->split); };
        if (found[i].similarity >= settings.near_duplicate) nearly.add(text());
        else if (found[i].similarity >= settings.same_person) people.add(text());
      }
    }
  nearly.done("nearly the same picture is in two splits (similarity of embeddings at least ", settings.near_duplicate, ")");
  people.done("probably the same person is in two splits (similarity of embeddings at least ", settings.same_person, ")");
}

// A row whose nearest ones of other species are nearer, on average, than the nearest of its own.
void check_outliers(Findings& f, const EmbeddingsFile& file, const std::vector<Embedded>& all, Context& ctx, const CheckSettings& settings,
                    const std::function<void(double)>& progress) {
  std::map<Label, std::vector<std::size_t>> by_label;
  std::size_t labelled = 0;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (f.record(*all[i].row).label) by_label[*f.record(*all[i].row).label].push_back(i), ++labelled;
  struct Suspect {
    double margin;
    std::size_t row;
    double own, others;
  };
  std::vector<Suspect> suspects;
  double done = 0;
  const std::int64_t k = settings.neighbours;
  if (by_label.size() > 1)
    for (const auto& [label, own] : by_label) {
      std::vector<std::size_t> others;
      for (const auto& [other, rows] : by_label)
        if (other != label) others.insert(others.end(), rows.begin(), rows.end());
      const double share = double(own.size()) / double(labelled);
      const auto report = [&](double s) { if (progress) progress(0.5 + 0.5 * (done + s * share)); };
      const VectorSet queries = vectors(file, all, own);
      const auto same = nearest(ctx, queries, queries, k + 1, {.progress = [&](double s) { report(0.5 * s); }});
      const auto other = nearest(ctx, queries, vectors(file, all, others), k, {.progress = [&](double s) { report(0.5 + 0.5 * s); }});
      done += share;
      for (std::size_t i = 0; i < own.size(); ++i) {
        double near = 0, far = 0;
        std::int64_t n = 0, m = 0;
        for (std::int64_t j = 0; j <= k; ++j) {  // itself left out, unless so many equal ones hide it
          const Neighbour& x = same[i * std::size_t(k + 1) + std::size_t(j)];
          if (x.index >= 0 && all[own[std::size_t(x.index)]].vector != all[own[i]].vector) near += x.similarity, ++n;
        }
        for (std::int64_t j = 0; j < k; ++j) {
          const Neighbour& x = other[i * std::size_t(k) + std::size_t(j)];
          if (x.index >= 0) far += x.similarity, ++m;
        }
        if (n < k || m < k) continue;  // too few to say anything
        near /= double(n), far /= double(m);
        if (far - near > settings.label_margin) suspects.push_back({far - near, own[i], near, far});
      }
    }
  std::sort(suspects.begin(), suspects.end(), [](const Suspect& a, const Suspect& b) { return a.margin != b.margin ? a.margin > b.margin : a.row < b.row; });
  auto found = f.rows(Severity::warning, "label-errors");
  for (const Suspect& s : suspects)
    found.add(str(f.where(*all[s.row].row), ": ", f.record(*all[s.row].row).label->name(), ", similarity ", decimals(s.own), " to its own species, ",
                  decimals(s.others), " to others"));
  found.done("labels are probably wrong: the ", k, " nearest embeddings of other species are nearer than those of its own by more than ",
             settings.label_margin);
}

}  // namespace

std::int64_t check_embeddings(Findings& f, const std::vector<CheckRow>& rows, const EmbeddingsFile& file, Context& ctx, const CheckSettings& settings,
                              const std::function<void(double share)>& progress) {
  const std::vector<Embedded> all = find_vectors(f, rows, file);
  check_splits(f, file, all, ctx, settings, progress);
  check_outliers(f, file, all, ctx, settings, progress);
  return std::int64_t(all.size());
}

}  // namespace bonafide
