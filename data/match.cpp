// data/match.cpp — see match.h.
#include "data/match.h"

#include <algorithm>
#include <cmath>

#include "engine/philox.h"

namespace bonafide {
namespace {

// Records that may be paired with each other, in list order, each with an embedding.
struct Group {
  std::vector<std::int64_t> attacks, genuine;
};

struct Matcher {
  Context& ctx;
  const Manifest& list;
  const EmbeddingRows& embeddings;
  Matching result;
  double work_done = 0, work = 0;  // products
  const std::function<void(double)>& progress;

  const MatchSettings& settings() const { return result.settings; }
  const Record& record(std::int64_t i) const { return list.records[std::size_t(i)]; }
  MatchOutcome& outcome(std::int64_t i) { return result.outcomes[std::size_t(i)]; }
  bool has_vector(std::int64_t i) const { return embeddings.row[std::size_t(i)] >= 0; }

  VectorSet vectors(const std::vector<std::int64_t>& records) const {
    VectorSet set{embeddings.bytes, embeddings.dimension, {}};
    for (const std::int64_t i : records) set.rows.push_back(embeddings.row[std::size_t(i)]);
    return set;
  }

  std::vector<Neighbour> search(const std::vector<std::int64_t>& queries, const std::vector<std::int64_t>& base, std::int64_t k) {
    const double part = double(queries.size()) * double(base.size());
    NearestOptions options;
    if (progress) options.progress = [&](double share) { progress((work_done + share * part) / std::max(work, 1.0)); };
    auto found = nearest(ctx, vectors(queries), vectors(base), k, options);
    work_done += part;
    return found;
  }

  std::vector<Group> groups() const {
    std::map<std::pair<std::string, std::string>, Group> by_key;
    for (std::int64_t i = 0; i < std::int64_t(list.records.size()); ++i) {
      const Record& r = record(i);
      const auto kind = result.outcomes[std::size_t(i)].kind;
      if (!has_vector(i) || (kind != MatchOutcome::genuine && kind != MatchOutcome::pair)) continue;
      if (settings().same_subject && r.subject.empty()) continue;
      Group& g = by_key[{r.split, settings().same_subject ? r.subject : std::string()}];
      (r.genuine() ? g.genuine : g.attacks).push_back(i);
    }
    std::vector<Group> all;
    for (auto& [key, g] : by_key)
      if (!g.genuine.empty() && !g.attacks.empty()) all.push_back(std::move(g));
    return all;
  }

  void find_neighbours(const Group& g) {
    const std::int64_t k = settings().mode == MatchMode::top_k ? settings().k : 1;
    const auto found = search(g.attacks, g.genuine, k);
    for (std::size_t a = 0; a < g.attacks.size(); ++a)
      for (std::int64_t n = 0; n < k; ++n)
        if (Neighbour near = found[a * std::size_t(k) + std::size_t(n)]; near.index >= 0) {
          near.index = g.genuine[std::size_t(near.index)];
          outcome(g.attacks[a]).neighbours.push_back(near);
        }
  }

  // The nearest attack of each species to every genuine face.
  void find_mutual(const Group& g) {
    std::map<Label, std::vector<std::int64_t>> by_species;
    for (const std::int64_t a : g.attacks) by_species[*record(a).label].push_back(a);
    for (const auto& [species, attacks] : by_species) {
      const auto answer = search(g.genuine, attacks, 1);
      for (const std::int64_t a : attacks) outcome(a).mutual = false;
      for (std::size_t i = 0; i < g.genuine.size(); ++i) {
        MatchOutcome& nearest_attack = outcome(attacks[std::size_t(answer[i].index)]);
        if (nearest_attack.neighbours[0].index == g.genuine[i]) nearest_attack.mutual = true;
      }
    }
  }

  // Of an attack's neighbours the one to pair it with, or -1.
  std::int64_t choose(const MatchOutcome& o, double threshold, std::vector<std::int64_t>& uses) const {
    std::int64_t best = -1;
    for (std::size_t n = 0; n < o.neighbours.size(); ++n) {
      if (!(o.neighbours[n].similarity >= threshold)) break;
      if (best < 0 || uses[std::size_t(o.neighbours[n].index)] < uses[std::size_t(o.neighbours[std::size_t(best)].index)])
        best = std::int64_t(n);
    }
    if (best >= 0) ++uses[std::size_t(o.neighbours[std::size_t(best)].index)];
    return best;
  }

  std::string why_unmatched(std::int64_t i, double threshold) {
    const MatchOutcome& o = outcome(i);
    if (!has_vector(i)) return embeddings.reason[std::size_t(i)];
    if (o.neighbours.empty()) {
      if (!settings().same_subject) return "no genuine face with an embedding in its split";
      return record(i).subject.empty() ? "its subject is unknown" : "no genuine face of its subject with an embedding in its split";
    }
    if (!(o.nearest_similarity() >= threshold)) return str("the nearest genuine face is below the threshold ", threshold);
    return "another attack of its species is nearer to its genuine face";
  }

  void decide() {
    std::vector<std::int64_t> uses(list.records.size());
    std::map<std::string, std::vector<std::int64_t>> genuine_of_split;
    for (std::size_t i = 0; i < list.records.size(); ++i)
      if (result.outcomes[i].kind == MatchOutcome::genuine) genuine_of_split[list.records[i].split].push_back(std::int64_t(i));
    for (std::int64_t i = 0; i < std::int64_t(list.records.size()); ++i) {
      MatchOutcome& o = outcome(i);
      if (o.kind != MatchOutcome::pair) continue;
      const Record& r = record(i);
      const double threshold = result.threshold(*r.label);
      if (const std::int64_t n = o.mutual ? choose(o, threshold, uses) : -1; n >= 0) {
        o.partner = o.neighbours[std::size_t(n)].index;
        o.similarity = o.neighbours[std::size_t(n)].similarity;
        continue;
      }
      o.reason = std::string(kMatchReason) + why_unmatched(i, threshold);
      o.kind = MatchOutcome::rejected;
      const auto it = genuine_of_split.find(r.split);
      if (!settings().class_partners || it == genuine_of_split.end()) continue;
      o.kind = MatchOutcome::class_pair;
      Random random(settings().seed, "class partner", hash_name(r.filename));
      o.partner = it->second[std::size_t(random.below(std::int64_t(it->second.size())))];
      if (has_vector(i))
        o.similarity = cosine(embeddings.vector(embeddings.row[std::size_t(i)]), embeddings.vector(embeddings.row[std::size_t(o.partner)]));
    }
  }
};

}  // namespace

const char* name_of(MatchMode m) { return m == MatchMode::nearest ? "nearest" : m == MatchMode::mutual ? "mutual" : "top-k"; }

double Matching::threshold(const Label& species) const {
  const auto it = settings.species_threshold.find(species);
  return it == settings.species_threshold.end() ? settings.threshold : it->second;
}

Matching match(Context& ctx, const Manifest& list, const EmbeddingRows& embeddings, const MatchSettings& settings,
               const std::function<void(double)>& progress) {
  BF_CHECK(embeddings.row.size() == list.records.size(), embeddings.row.size(), " embeddings of ", list.records.size(), " records");
  Matcher m{ctx, list, embeddings, {settings, {}}, 0, 0, progress};
  m.result.outcomes.resize(list.records.size());
  std::int64_t genuine = 0, usable = 0;
  for (std::int64_t i = 0; i < std::int64_t(list.records.size()); ++i) {
    const Record& r = m.record(i);
    MatchOutcome& o = m.outcome(i);
    genuine += r.genuine();
    if (!r.reject_reason.empty() && !r.reject_reason.starts_with(kMatchReason)) {
      o.reason = r.reject_reason;
    } else if (!r.label) {
      o.reason = std::string(kMatchReason) + "unlabelled";
    } else if (r.attack()) {
      o.kind = MatchOutcome::pair;  // until decide() finds otherwise
    } else if (m.has_vector(i)) {
      o.kind = MatchOutcome::genuine;
      ++usable;
    } else {
      o.reason = std::string(kMatchReason) + embeddings.reason[std::size_t(i)];
    }
  }
  if (!usable)
    throw Error(str(list.origin, ": none of its ", genuine, " genuine faces has an embedding in ", embeddings.origin));

  const std::vector<Group> groups = m.groups();
  for (const Group& g : groups)
    m.work += double(g.attacks.size()) * double(g.genuine.size()) * (settings.mode == MatchMode::mutual ? 2 : 1);
  for (const Group& g : groups) {
    m.find_neighbours(g);
    if (settings.mode == MatchMode::mutual) m.find_mutual(g);
  }
  m.decide();
  return std::move(m.result);
}

Manifest matched_list(const Manifest& list, const Matching& matching, const EmbeddingRows* file_rows) {
  Manifest m = list;
  const auto known = std::find(m.extra_columns.begin(), m.extra_columns.end(), "pair_kind");
  const auto column = std::size_t(known - m.extra_columns.begin());
  if (known == m.extra_columns.end() && matching.settings.class_partners) m.extra_columns.push_back("pair_kind");
  for (std::size_t i = 0; i < m.records.size(); ++i) {
    Record& r = m.records[i];
    const MatchOutcome& o = matching.outcomes[i];
    const bool paired = o.kind == MatchOutcome::pair || o.kind == MatchOutcome::class_pair;
    r.pair_filename = paired ? list.records[std::size_t(o.partner)].filename : "";
    r.pair_similarity = paired ? o.similarity : MatchOutcome::kNoSimilarity;
    r.reject_reason = o.kind == MatchOutcome::rejected ? o.reason : "";
    if (file_rows) r.embedding_row = file_rows->row[i];
    r.extra.resize(m.extra_columns.size());
    if (column < r.extra.size())
      r.extra[column] = o.kind == MatchOutcome::pair ? "identity" : o.kind == MatchOutcome::class_pair ? "class" : "";
  }
  return m;
}

}  // namespace bonafide
