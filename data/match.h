// data/match.h — which genuine face an attack is paired with: the nearest by cosine similarity of their embeddings.
//
// For each attack the nearest genuine face of its split (of its person, if asked) is found exactly (data/nearest.h; of
// equals the first of the list). The pair is kept where the similarity reaches the threshold. That is the published rule;
// identities are not looked at, so that "the same person" means no more than "very similar". What else can be asked for:
//   mutual       kept only where the attack is also the nearest of its species to that genuine face
//   top_k        the partner is the one of the k nearest, at or above the threshold, that has the fewest attacks so far
//                (in list order; of equals the more similar): spreads the use of genuine faces
//   class_pair   an attack that finds no partner is paired with a genuine face drawn for it, instead of being rejected
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/embedding_rows.h"
#include "data/nearest.h"

namespace bonafide {

enum class MatchMode { nearest, mutual, top_k };
const char* name_of(MatchMode);

struct MatchSettings {
  MatchMode mode = MatchMode::nearest;
  std::int64_t k = 5;  // of top_k
  double threshold = 0.84;
  std::map<Label, double> species_threshold;
  bool same_subject = false;  // only genuine faces of the attack's own person
  bool class_partners = false;
  std::uint64_t seed = 42;  // of the drawn partners
};

struct MatchOutcome {
  enum Kind { genuine, pair, class_pair, rejected } kind = rejected;
  std::int64_t partner = -1;           // record
  double similarity = kNoSimilarity;   // to the partner; NaN where one of the two has no embedding
  std::string reason;                  // rejected: why; class_pair: why there is no nearer partner
  std::vector<Neighbour> neighbours;   // of an attack: the k nearest (1 but for top_k); `index` is a record

  static constexpr double kNoSimilarity = std::numeric_limits<double>::quiet_NaN();
  double nearest_similarity() const { return neighbours.empty() ? kNoSimilarity : neighbours[0].similarity; }
  bool mutual = true;  // mutual: the nearest genuine face answers with this attack
};

struct Matching {
  MatchSettings settings;
  std::vector<MatchOutcome> outcomes;  // one for each record of the list
  double threshold(const Label& species) const;
};

// Records with a reject_reason stay rejected for that reason, unless it is one that match or purge gave (it begins
// "match: "): those are looked at afresh. Throws where no genuine face has an embedding.
Matching match(Context&, const Manifest& list, const EmbeddingRows& embeddings, const MatchSettings& settings,
               const std::function<void(double share)>& progress = {});

// The same in steps: the comparisons, which are what takes long, come in blocks, and what a block finds is a string that a
// journal can keep (data/work_list.h). The strings depend on the vectors alone, not on thresholds, threads or the device.
//   Matcher m(ctx, list, embeddings, settings);
//   for (block = 0; block < m.blocks(); ++block) m.set(block, m.find(block));
//   m.decide()
class Matcher {
 public:
  // All three must outlive it. `block_rows`: vectors that a block looks for the neighbours of; 0: as many as take
  // some seconds on a CPU.
  Matcher(Context& ctx, const Manifest& list, const EmbeddingRows& embeddings, const MatchSettings& settings, std::int64_t block_rows = 0);
  Matcher(const Matcher&) = delete;
  Matcher& operator=(const Matcher&) = delete;

  std::int64_t blocks() const { return std::int64_t(blocks_.size()); }
  double share(std::int64_t block) const;  // of all the work: what the blocks before this one take
  std::uint64_t fingerprint() const;  // of all vectors that are compared, in order, and of where the blocks begin
  // `progress`: the share of all the work, with the blocks before this one. Blocks that follow each other in one base are faster.
  std::string find(std::int64_t block, const std::function<void(double share)>& progress = {});
  // Every block once, in order. Throws where these are no results of this block.
  void set(std::int64_t block, std::string_view found);
  Matching decide();  // when all are set

 private:
  struct Group;
  // Records whose nearest are looked for, and those they are looked for among.
  struct Search {
    std::vector<std::int64_t> queries, base;
    std::int64_t k = 1;
    bool mutual = false;  // the nearest attack of one species to every genuine face
  };
  struct Block {
    std::size_t search = 0, first = 0, rows = 0;  // queries [first, first + rows)
    double work_before = 0, work = 0;             // comparisons
  };
  const Record& record(std::int64_t i) const { return list_.records[std::size_t(i)]; }
  MatchOutcome& outcome(std::int64_t i) { return result_.outcomes[std::size_t(i)]; }
  bool has_vector(std::int64_t i) const { return embeddings_.row[std::size_t(i)] >= 0; }
  VectorSet vectors(std::span<const std::int64_t> records) const;
  std::span<const std::int64_t> queries(const Block& b) const;
  void sort_out();
  std::vector<Group> groups() const;
  void add_search(Search search, std::int64_t block_rows);
  std::int64_t choose(const MatchOutcome& o, double threshold, std::vector<std::int64_t>& uses) const;
  std::string why_unmatched(std::int64_t i, double threshold);

  Context& ctx_;
  const Manifest& list_;
  const EmbeddingRows& embeddings_;
  Matching result_;
  std::vector<Search> searches_;
  std::vector<Block> blocks_;
  std::optional<NearestSearch> open_;  // of the search `open_search_`
  std::size_t open_search_ = 0;
  std::function<void(double)> block_progress_;
};

// The list with partners, similarities and reasons of this matching in place of those it had; every record is still there.
// Where partners are drawn, a further column `pair_kind` says "identity" or "class". embedding_row becomes that of `file_rows`.
Manifest matched_list(const Manifest& list, const Matching& matching, const EmbeddingRows* file_rows = nullptr);

// Why match rejects, in the column reject_reason.
inline constexpr std::string_view kMatchReason = "match: ";

}  // namespace bonafide
