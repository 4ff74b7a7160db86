// data/match.cpp — see match.h.
#include "data/match.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "data/work_list.h"
#include "engine/philox.h"

namespace bonafide {
namespace {

// A block is a few seconds of a CPU's work: that is what a kill loses.
constexpr std::int64_t kBlockPairs = std::int64_t(1) << 28, kMostBlockRows = 2048, kFewestBlockRows = 64;

// Neighbours in the form that a journal keeps.
static_assert(sizeof(Neighbour) == 16, "an index and a similarity");
std::string bytes_of(const std::vector<Neighbour>& found) {
  return {reinterpret_cast<const char*>(found.data()), found.size() * sizeof(Neighbour)};
}

}  // namespace

const char* name_of(MatchMode m) { return m == MatchMode::nearest ? "nearest" : m == MatchMode::mutual ? "mutual" : "top-k"; }

double Matching::threshold(const Label& species) const {
  const auto it = settings.species_threshold.find(species);
  return it == settings.species_threshold.end() ? settings.threshold : it->second;
}

// Records that may be paired with each other, in list order, each with an embedding.
struct Matcher::Group {
  std::vector<std::int64_t> attacks, genuine;
};

Matcher::Matcher(Context& ctx, const Manifest& list, const EmbeddingRows& embeddings, const MatchSettings& settings,
                 std::int64_t block_rows)
    : ctx_(ctx), list_(list), embeddings_(embeddings), result_{settings, {}} {
  BF_CHECK(embeddings.row.size() == list.records.size(), embeddings.row.size(), " embeddings of ", list.records.size(), " records");
  sort_out();
  for (const Group& g : groups()) {
    add_search({g.attacks, g.genuine, settings.mode == MatchMode::top_k ? settings.k : 1, false}, block_rows);
    if (settings.mode != MatchMode::mutual) continue;
    std::map<Label, std::vector<std::int64_t>> by_species;
    for (const std::int64_t a : g.attacks) by_species[*record(a).label].push_back(a);
    for (const auto& [species, attacks] : by_species) {
      for (const std::int64_t a : attacks) outcome(a).mutual = false;  // until its genuine face answers with it
      add_search({g.genuine, attacks, 1, true}, block_rows);
    }
  }
}

// What takes part.
void Matcher::sort_out() {
  result_.outcomes.resize(list_.records.size());
  std::int64_t genuine = 0, usable = 0;
  for (std::int64_t i = 0; i < std::int64_t(list_.records.size()); ++i) {
    const Record& r = record(i);
    MatchOutcome& o = outcome(i);
    genuine += r.genuine();
    if (!r.reject_reason.empty() && !r.reject_reason.starts_with(kMatchReason)) {
      o.reason = r.reject_reason;
    } else if (!r.label) {
      o.reason = std::string(kMatchReason) + "unlabelled";
    } else if (r.attack()) {
      o.kind = MatchOutcome::pair;  // until decide() finds otherwise
    } else if (has_vector(i)) {
      o.kind = MatchOutcome::genuine;
      ++usable;
    } else {
      o.reason = std::string(kMatchReason) + embeddings_.reason[std::size_t(i)];
    }
  }
  if (!usable)
    throw Error(str(list_.origin, ": none of its ", genuine, " genuine faces has an embedding in ", embeddings_.origin));
}

std::vector<Matcher::Group> Matcher::groups() const {
  const MatchSettings& settings = result_.settings;
  std::map<std::pair<std::string, std::string>, Group> by_key;
  for (std::int64_t i = 0; i < std::int64_t(list_.records.size()); ++i) {
    const Record& r = record(i);
    const auto kind = result_.outcomes[std::size_t(i)].kind;
    if (!has_vector(i) || (kind != MatchOutcome::genuine && kind != MatchOutcome::pair)) continue;
    if (settings.same_subject && r.subject.empty()) continue;
    Group& g = by_key[{r.split, settings.same_subject ? r.subject : std::string()}];
    (r.genuine() ? g.genuine : g.attacks).push_back(i);
  }
  std::vector<Group> all;
  for (auto& [key, g] : by_key)
    if (!g.genuine.empty() && !g.attacks.empty()) all.push_back(std::move(g));
  return all;
}

void Matcher::add_search(Search search, std::int64_t block_rows) {
  const auto base = std::int64_t(search.base.size());
  const std::size_t rows = std::size_t(block_rows > 0 ? block_rows : std::clamp(kBlockPairs / base, kFewestBlockRows, kMostBlockRows));
  for (std::size_t first = 0; first < search.queries.size(); first += rows) {
    const std::size_t n = std::min(rows, search.queries.size() - first);
    const double before = blocks_.empty() ? 0 : blocks_.back().work_before + blocks_.back().work;
    blocks_.push_back({searches_.size(), first, n, before, double(n) * double(base)});
  }
  searches_.push_back(std::move(search));
}

VectorSet Matcher::vectors(std::span<const std::int64_t> records) const {
  VectorSet set{embeddings_.bytes, embeddings_.dimension, {}};
  for (const std::int64_t i : records) set.rows.push_back(embeddings_.row[std::size_t(i)]);
  return set;
}

std::span<const std::int64_t> Matcher::queries(const Block& b) const {
  return std::span(searches_[b.search].queries).subspan(b.first, b.rows);
}

std::uint64_t Matcher::fingerprint() const {
  InputFingerprint f;
  const std::size_t bytes = std::size_t(embeddings_.dimension) * 4;
  const auto add = [&](const std::vector<std::int64_t>& records) {
    for (const std::int64_t i : records)
      f.add({reinterpret_cast<const char*>(embeddings_.bytes.data()) + std::size_t(embeddings_.row[std::size_t(i)]) * bytes, bytes});
  };
  for (const Search& s : searches_) {
    f.add(str(s.k, " nearest of ", s.queries.size(), " in ", s.base.size(), " by ", embeddings_.dimension, " numbers"));
    add(s.queries), add(s.base);
  }
  for (const Block& b : blocks_) f.add(str(b.search, " from ", b.first));
  return f.value();
}

double Matcher::share(std::int64_t block) const {
  if (block == blocks()) return 1;
  return blocks_[std::size_t(block)].work_before / (blocks_.back().work_before + blocks_.back().work);
}

std::string Matcher::find(std::int64_t block, const std::function<void(double)>& progress) {
  const Block& b = blocks_.at(std::size_t(block));
  block_progress_ = {};
  if (progress) block_progress_ = [&](double part) { progress(share(block) + part * (share(block + 1) - share(block))); };
  if (!open_ || open_search_ != b.search) {
    open_.reset();  // before the next base is prepared
    NearestOptions options;
    options.progress = [this](double share) { if (block_progress_) block_progress_(share); };
    open_.emplace(ctx_, vectors(searches_[b.search].base), searches_[b.search].k, options);
    open_search_ = b.search;
  }
  return bytes_of(open_->find(vectors(queries(b))));
}

void Matcher::set(std::int64_t block, std::string_view found) {
  const Block& b = blocks_.at(std::size_t(block));
  const Search& s = searches_[b.search];
  const auto k = std::size_t(s.k);
  std::vector<Neighbour> near(b.rows * k);
  const auto check = [&](bool fits) {
    if (!fits) throw Error(str("block ", block, " of the comparisons: these are not its results"));
  };
  check(found.size() == near.size() * sizeof(Neighbour));
  std::memcpy(near.data(), found.data(), found.size());
  for (std::size_t i = 0; i < near.size(); ++i)
    check(near[i].index >= 0 ? near[i].index < std::int64_t(s.base.size()) : i % k >= s.base.size());
  for (std::size_t q = 0; q < b.rows; ++q) {
    const std::int64_t query = queries(b)[q];
    if (s.mutual) {
      MatchOutcome& attack = outcome(s.base[std::size_t(near[q].index)]);
      if (!attack.neighbours.empty() && attack.neighbours[0].index == query) attack.mutual = true;
      continue;
    }
    std::vector<Neighbour>& to = outcome(query).neighbours;
    to.clear();
    for (std::size_t n = 0; n < std::min(k, s.base.size()); ++n) {
      const Neighbour& one = near[q * k + n];
      to.push_back({s.base[std::size_t(one.index)], one.similarity});
    }
  }
}

// Of an attack's neighbours the one to pair it with, or -1.
std::int64_t Matcher::choose(const MatchOutcome& o, double threshold, std::vector<std::int64_t>& uses) const {
  std::int64_t best = -1;
  for (std::size_t n = 0; n < o.neighbours.size(); ++n) {
    if (!(o.neighbours[n].similarity >= threshold)) break;
    if (best < 0 || uses[std::size_t(o.neighbours[n].index)] < uses[std::size_t(o.neighbours[std::size_t(best)].index)])
      best = std::int64_t(n);
  }
  if (best >= 0) ++uses[std::size_t(o.neighbours[std::size_t(best)].index)];
  return best;
}

std::string Matcher::why_unmatched(std::int64_t i, double threshold) {
  const MatchOutcome& o = outcome(i);
  if (!has_vector(i)) return embeddings_.reason[std::size_t(i)];
  if (o.neighbours.empty()) {
    if (!result_.settings.same_subject) return "no genuine face with an embedding in its split";
    return record(i).subject.empty() ? "its subject is unknown" : "no genuine face of its subject with an embedding in its split";
  }
  if (!(o.nearest_similarity() >= threshold)) return str("the nearest genuine face is below the threshold ", threshold);
  return "another attack of its species is nearer to its genuine face";
}

Matching Matcher::decide() {
  std::vector<std::int64_t> uses(list_.records.size());
  std::map<std::string, std::vector<std::int64_t>> genuine_of_split;
  for (std::size_t i = 0; i < list_.records.size(); ++i)
    if (result_.outcomes[i].kind == MatchOutcome::genuine) genuine_of_split[list_.records[i].split].push_back(std::int64_t(i));
  for (std::int64_t i = 0; i < std::int64_t(list_.records.size()); ++i) {
    MatchOutcome& o = outcome(i);
    if (o.kind != MatchOutcome::pair) continue;
    const Record& r = record(i);
    const double threshold = result_.threshold(*r.label);
    if (const std::int64_t n = o.mutual ? choose(o, threshold, uses) : -1; n >= 0) {
      o.partner = o.neighbours[std::size_t(n)].index;
      o.similarity = o.neighbours[std::size_t(n)].similarity;
      continue;
    }
    o.reason = std::string(kMatchReason) + why_unmatched(i, threshold);
    o.kind = MatchOutcome::rejected;
    const auto it = genuine_of_split.find(r.split);
    if (!result_.settings.class_partners || it == genuine_of_split.end()) continue;
    o.kind = MatchOutcome::class_pair;
    Random random(result_.settings.seed, "class partner", hash_name(r.filename));
    o.partner = it->second[std::size_t(random.below(std::int64_t(it->second.size())))];
    if (has_vector(i))
      o.similarity = cosine(embeddings_.vector(embeddings_.row[std::size_t(i)]), embeddings_.vector(embeddings_.row[std::size_t(o.partner)]));
  }
  return std::move(result_);
}

Matching match(Context& ctx, const Manifest& list, const EmbeddingRows& embeddings, const MatchSettings& settings,
               const std::function<void(double)>& progress) {
  Matcher m(ctx, list, embeddings, settings);
  for (std::int64_t block = 0; block < m.blocks(); ++block) m.set(block, m.find(block, progress));
  return m.decide();
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
