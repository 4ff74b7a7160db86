// tests/host/test_match.cpp — which attack is paired with which genuine face, and what the report says about it: everything
// against loops over all pairs, and the published list against one written by hand.
#include "data/match.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "data/csv.h"
#include "data/match_report.h"
#include "data/npy.h"
#include "data/work_list.h"
#include "tests/support/lists.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"
#include "tests/support/threads.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

using Kind = MatchOutcome::Kind;

// A list with a vector (or none) for each record.
struct Toy {
  ListBuilder list;
  std::vector<float> values;
  EmbeddingRows rows;
  explicit Toy(std::int64_t dimension) { rows.dimension = dimension, rows.origin = "toy"; }
  Toy(const Toy& other) : list(other.list), values(other.values), rows(other.rows) { rows.bytes = std::as_bytes(std::span<const float>(values)); }
  Record& add(const std::string& name, std::optional<Label> label, std::vector<float> v, const std::string& subject = {},
              const std::string& split = "train") {
    rows.row.push_back(v.empty() ? -1 : std::int64_t(values.size()) / rows.dimension);
    rows.reason.push_back(v.empty() ? "no embedding" : "");
    values.insert(values.end(), v.begin(), v.end());
    rows.bytes = std::as_bytes(std::span<const float>(values));
    Record& r = list.add(name, label, {}, subject);
    r.split = split;
    return r;
  }
  const Manifest& manifest() const { return list.manifest; }
  Matching match(const MatchSettings& s) const {
    Context ctx;
    return bonafide::match(ctx, list.manifest, rows, s);
  }
  double cosine_of(std::size_t a, std::size_t b) const {
    const auto x = rows.vector(rows.row[a]), y = rows.vector(rows.row[b]);
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t c = 0; c < x.size(); ++c) ab += double(x[c]) * double(y[c]), aa += double(x[c]) * double(x[c]), bb += double(y[c]) * double(y[c]);
    return std::min(1.0, ab / std::sqrt(aa * bb));
  }
};

std::vector<float> at_angle(double degrees) {
  return {float(std::cos(degrees * M_PI / 180)), float(std::sin(degrees * M_PI / 180))};
}
double cos_of(double degrees) { return std::cos(degrees * M_PI / 180); }

// Two splits, four species, six people; some without an embedding, some without a label, duplicates for ties.
Toy random_toy(unsigned salt) {
  std::mt19937 g(seed() * 7919u + salt);
  std::normal_distribution<double> normal;
  Toy toy(6);
  std::vector<std::vector<float>> before;
  for (int i = 0; i < 240; ++i) {
    std::vector<float> v;
    if (g() % 10) {
      double squared = 0;
      std::vector<double> x(6);
      for (double& c : x) c = normal(g), squared += c * c;
      for (const double c : x) v.push_back(float(c / std::sqrt(squared)));
      if (!before.empty() && g() % 8 == 0) v = before[g() % before.size()];
      before.push_back(v);
    }
    std::optional<Label> label = g() % 3 == 0 ? Label{} : std::vector<Label>{kPrint, kReplay, kFaceSwap}[g() % 3];
    if (g() % 20 == 0) label = std::nullopt;
    Record& r = toy.add(str("f", i), label, v, g() % 5 ? str("p", g() % 6) : "", g() % 4 ? "train" : "val");
    if (g() % 15 == 0) r.reject_reason = "too blurred";
  }
  return toy;
}

// The rule again, pair by pair.
struct Naive {
  std::vector<std::vector<Neighbour>> neighbours;  // of each record, all, nearest first
  std::vector<bool> mutual;
};
Naive naive(const Toy& toy, const MatchSettings& s) {
  const auto& records = toy.manifest().records;
  const auto fits = [&](std::size_t a, std::size_t g) {
    const Record &x = records[a], &y = records[g];
    return x.reject_reason.empty() && y.reject_reason.empty() && toy.rows.row[a] >= 0 && toy.rows.row[g] >= 0 && y.genuine() &&
           x.split == y.split && (!s.same_subject || (!x.subject.empty() && x.subject == y.subject));
  };
  Naive n{std::vector<std::vector<Neighbour>>(records.size()), std::vector<bool>(records.size(), true)};
  for (std::size_t a = 0; a < records.size(); ++a) {
    if (!records[a].attack()) continue;
    for (std::size_t g = 0; g < records.size(); ++g)
      if (fits(a, g)) n.neighbours[a].push_back({std::int64_t(g), toy.cosine_of(a, g)});
    std::stable_sort(n.neighbours[a].begin(), n.neighbours[a].end(), [](const auto& l, const auto& r) { return l.similarity > r.similarity; });
  }
  if (s.mode != MatchMode::mutual) return n;
  for (std::size_t a = 0; a < records.size(); ++a) {
    if (n.neighbours[a].empty()) continue;
    const std::size_t g = std::size_t(n.neighbours[a][0].index);
    for (std::size_t b = 0; b < records.size(); ++b) {
      if (b == a || records[b].label != records[a].label || !fits(b, g)) continue;
      const double theirs = toy.cosine_of(b, g), ours = toy.cosine_of(a, g);
      if (theirs > ours || (theirs == ours && b < a)) n.mutual[a] = false;
    }
  }
  return n;
}

void expect_naive(const Toy& toy, const MatchSettings& s) {
  const auto& records = toy.manifest().records;
  const Naive want = naive(toy, s);
  const Matching got = toy.match(s);
  std::vector<int> uses(records.size());
  const std::int64_t k = s.mode == MatchMode::top_k ? s.k : 1;
  std::map<std::string, std::set<std::int64_t>> usable;
  for (std::size_t i = 0; i < records.size(); ++i)
    if (records[i].genuine() && records[i].reject_reason.empty() && toy.rows.row[i] >= 0) usable[records[i].split].insert(std::int64_t(i));
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Record& r = records[i];
    const MatchOutcome& o = got.outcomes[i];
    CAPTURE(r.filename);
    if (!r.reject_reason.empty()) {
      CHECK(o.kind == Kind::rejected);
      CHECK(o.reason == r.reject_reason);
      continue;
    }
    if (!r.attack()) {
      CHECK(o.kind == (r.label && toy.rows.row[i] >= 0 ? Kind::genuine : Kind::rejected));
      CHECK(o.reason == (!r.label ? "match: unlabelled" : toy.rows.row[i] < 0 ? "match: no embedding" : ""));
      continue;
    }
    const auto& all = want.neighbours[i];
    REQUIRE(std::int64_t(o.neighbours.size()) == std::min<std::int64_t>(k, std::int64_t(all.size())));
    for (std::size_t n = 0; n < o.neighbours.size(); ++n) {
      CHECK(o.neighbours[n].index == all[n].index);
      CHECK(o.neighbours[n].similarity == all[n].similarity);
    }
    const auto own = s.species_threshold.find(*r.label);
    const double threshold = own == s.species_threshold.end() ? s.threshold : own->second;
    std::int64_t partner = -1;
    for (std::size_t n = 0; n < o.neighbours.size() && all[n].similarity >= threshold && want.mutual[i]; ++n)
      if (partner < 0 || uses[std::size_t(all[n].index)] < uses[std::size_t(partner)]) partner = all[n].index;
    if (partner >= 0) {
      ++uses[std::size_t(partner)];
      CHECK(o.kind == Kind::pair);
      CHECK(o.partner == partner);
      CHECK(o.similarity == toy.cosine_of(i, std::size_t(partner)));
      CHECK(o.reason.empty());
    } else if (s.class_partners) {
      CHECK(o.kind == Kind::class_pair);
      CHECK(usable[r.split].count(o.partner) == 1);
      CHECK(!o.reason.empty());
      if (toy.rows.row[i] >= 0) CHECK(o.similarity == toy.cosine_of(i, std::size_t(o.partner)));
      else CHECK(std::isnan(o.similarity));
    } else {
      CHECK(o.kind == Kind::rejected);
      CHECK(o.partner == -1);
      CHECK(o.reason.starts_with("match: "));
    }
  }
}

}  // namespace

TEST_CASE("match: every mode against a loop over all pairs") {
  for (const unsigned salt : {1u, 2u}) {
    const Toy toy = random_toy(salt);
    for (const MatchMode mode : {MatchMode::nearest, MatchMode::mutual, MatchMode::top_k})
      for (const bool same_subject : {false, true})
        for (const bool class_partners : {false, true}) {
          MatchSettings s;
          s.mode = mode, s.k = 4, s.threshold = 0.7, s.same_subject = same_subject, s.class_partners = class_partners;
          s.species_threshold = {{kPrint, 0.4}, {kReplay, 0.95}};
          CAPTURE(name_of(mode));
          expect_naive(toy, s);
        }
  }
}

TEST_CASE("match: hand-made angles; a threshold is met when it is reached, ties go to the first") {
  Toy toy(2);
  toy.add("g0", Label{}, at_angle(0));
  toy.add("a0", kPrint, at_angle(60));      // nearest g1: 30 degrees
  toy.add("g1", Label{}, at_angle(90));
  toy.add("a1", kReplay, at_angle(0));      // g0 and g2 are the same vector: g0
  toy.add("g2", Label{}, at_angle(0));
  toy.add("a2", kReplay, at_angle(170));    // nearest g1, 80 degrees
  toy.add("a3", kPrint, {});
  MatchSettings s;
  s.threshold = toy.cosine_of(1, 2);
  Matching m = toy.match(s);
  CHECK(m.outcomes[1].partner == 2);
  CHECK(m.outcomes[1].similarity == doctest::Approx(cos_of(30)));
  CHECK(m.outcomes[3].partner == 0);
  CHECK(m.outcomes[3].similarity == 1);
  CHECK(m.outcomes[5].kind == Kind::rejected);
  CHECK(m.outcomes[5].neighbours[0].index == 2);
  CHECK(m.outcomes[5].reason == str("match: the nearest genuine face is below the threshold ", s.threshold));
  CHECK(m.outcomes[6].reason == "match: no embedding");
  s.threshold = std::nextafter(s.threshold, 2);
  CHECK(toy.match(s).outcomes[1].kind == Kind::rejected);
  s.species_threshold[kPrint] = 0.5;
  CHECK(toy.match(s).outcomes[1].kind == Kind::pair);
  CHECK(toy.match(s).outcomes[3].kind == Kind::pair);

  // Nearest of its species to the genuine face: a1 answers g0; another print that is nearer to g1 takes it from a0.
  s.threshold = 0, s.mode = MatchMode::mutual;
  CHECK(toy.match(s).outcomes[1].kind == Kind::pair);
  toy.add("a4", kPrint, at_angle(80));
  m = toy.match(s);
  CHECK(m.outcomes[1].kind == Kind::rejected);
  CHECK(m.outcomes[1].reason == "match: another attack of its species is nearer to its genuine face");
  CHECK(m.outcomes[7].partner == 2);
  CHECK(m.outcomes[5].partner == 2);  // 80 degrees away: still the nearest replay
}

TEST_CASE("match: top-k spreads the attacks over genuine faces, never below the threshold") {
  Toy toy(2);
  for (const double angle : {0.0, 10.0, 20.0}) toy.add(str("g", angle), Label{}, at_angle(angle));
  for (int i = 0; i < 6; ++i) toy.add(str("a", i), kPrint, at_angle(4));
  MatchSettings s;
  s.mode = MatchMode::top_k, s.k = 3, s.threshold = cos_of(15);
  const Matching m = toy.match(s);
  std::vector<std::int64_t> partners;
  for (std::size_t i = 3; i < 9; ++i) partners.push_back(m.outcomes[i].partner);
  CHECK(partners == std::vector<std::int64_t>{0, 1, 0, 1, 0, 1});  // g20 is 16 degrees away
  CHECK(m.outcomes[3].neighbours.size() == 3);
}

TEST_CASE("match: drawn partners depend on the seed and the name alone") {
  Toy toy(2), longer(2);
  longer.add("first", kPrint, at_angle(77));
  for (Toy* t : {&toy, &longer}) {
    for (int i = 0; i < 20; ++i) t->add(str("g", i), Label{}, at_angle(i));
    for (int i = 0; i < 20; ++i) t->add(str("a", i), kPrint, {});
  }
  MatchSettings s;
  s.class_partners = true;
  const Matching a = toy.match(s), b = longer.match(s);
  std::set<std::int64_t> drawn;
  for (std::size_t i = 20; i < 40; ++i) {
    CHECK(a.outcomes[i].kind == Kind::class_pair);
    CHECK(a.outcomes[i].partner + 1 == b.outcomes[i + 1].partner);
    drawn.insert(a.outcomes[i].partner);
  }
  CHECK(drawn.size() > 5);
  s.seed = 43;
  const Matching c = toy.match(s);
  std::size_t same = 0;
  for (std::size_t i = 20; i < 40; ++i) same += a.outcomes[i].partner == c.outcomes[i].partner;
  CHECK(same < 10);
}

TEST_CASE("match: verdicts of an earlier match are forgotten, other people's are not") {
  Toy toy(2);
  toy.add("g", Label{}, at_angle(0)).reject_reason = "match: no embedding";
  toy.add("a", kPrint, at_angle(10)).reject_reason = "match: its partner was erased";
  toy.add("b", kPrint, at_angle(10)).reject_reason = "no face found";
  Record& c = toy.add("c", kPrint, at_angle(90));
  c.pair_filename = "g", c.pair_similarity = 0.99;
  const Matching m = toy.match({});
  const Manifest after = matched_list(toy.manifest(), m);
  CHECK(after.records[0].reject_reason.empty());
  CHECK(after.records[1].reject_reason.empty());
  CHECK(after.records[1].pair_filename == "g");
  CHECK(after.records[1].pair_similarity == doctest::Approx(cos_of(10)));
  CHECK(after.records[2].reject_reason == "no face found");
  CHECK(after.records[3].pair_filename.empty());
  CHECK(std::isnan(after.records[3].pair_similarity));
  CHECK(after.records[3].reject_reason == "match: the nearest genuine face is below the threshold 0.84");
  CHECK(after.extra_columns.empty());
  // Where partners are drawn, a column says which pairs are; it is made once, and kept up to date.
  MatchSettings drawn;
  drawn.class_partners = true;
  const Manifest with = matched_list(after, toy.match(drawn));
  CHECK(with.extra_columns == std::vector<std::string>{"pair_kind"});
  CHECK(with.records[0].extra == std::vector<std::string>{""});
  CHECK(with.records[1].extra == std::vector<std::string>{"identity"});
  CHECK(with.records[3].extra == std::vector<std::string>{"class"});
  const Manifest again = matched_list(with, m);
  CHECK(again.extra_columns == with.extra_columns);
  CHECK(again.records[1].extra == std::vector<std::string>{"identity"});
  CHECK(again.records[3].extra == std::vector<std::string>{""});
  // Only rows of a file are rows to remember.
  CHECK(after.records[1].embedding_row == -1);
  CHECK(matched_list(toy.manifest(), m, &toy.rows).records[1].embedding_row == 1);
}

TEST_CASE("match: reasons why there is nothing to compare with") {
  Toy toy(2);
  toy.add("g", Label{}, at_angle(0), "anna", "train");
  toy.add("a", kPrint, at_angle(0), "ben", "train");
  toy.add("b", kPrint, at_angle(0), "", "train");
  toy.add("c", kPrint, at_angle(0), "anna", "val");
  toy.add("d", kPrint, at_angle(0), "anna", "train");
  Matching m = toy.match({});
  CHECK(m.outcomes[3].reason == "match: no genuine face with an embedding in its split");
  MatchSettings s;
  s.same_subject = true;
  m = toy.match(s);
  CHECK(m.outcomes[1].reason == "match: no genuine face of its subject with an embedding in its split");
  CHECK(m.outcomes[2].reason == "match: its subject is unknown");
  CHECK(m.outcomes[4].partner == 0);
  s.class_partners = true;
  m = toy.match(s);
  CHECK(m.outcomes[1].partner == 0);
  CHECK(m.outcomes[3].kind == Kind::rejected);  // nobody to draw in its split
  Toy none(2);
  none.add("g", Label{}, {});
  none.add("a", kPrint, at_angle(0));
  expect_throw("list.csv: none of its 1 genuine faces has an embedding in toy", [&] { none.match({}); });
}

TEST_CASE("match: threads change nothing; progress reaches the end") {
  const Toy toy = random_toy(3);
  for (const MatchMode mode : {MatchMode::nearest, MatchMode::mutual}) {
    MatchSettings s;
    s.mode = mode;
    std::vector<double> shares;
    const auto [one, two] = with_one_and_two_threads([&] {
      shares.clear();
      Context ctx;
      return match(ctx, toy.manifest(), toy.rows, s, [&](double x) { shares.push_back(x); });
    });
    for (std::size_t i = 0; i < one.outcomes.size(); ++i) {
      CHECK(one.outcomes[i].kind == two.outcomes[i].kind);
      CHECK(one.outcomes[i].partner == two.outcomes[i].partner);
    }
    CHECK(shares.back() == doctest::Approx(1));
    CHECK(std::is_sorted(shares.begin(), shares.end()));
  }
}

TEST_CASE("match report: every figure by a loop of its own; all rows are counted") {
  Toy toy = random_toy(4);
  toy.list.manifest.dropped.push_back({"twice", "listed before", 9});
  for (const MatchMode mode : {MatchMode::nearest, MatchMode::mutual, MatchMode::top_k})
    for (const bool class_partners : {false, true}) {
      MatchSettings s;
      s.mode = mode, s.threshold = 0.6, s.class_partners = class_partners, s.k = 3;
      s.species_threshold = {{kPrint, 0.33}};
      const Matching m = toy.match(s);
      MatchReportSettings rs;
      rs.thresholds = {0.9, 0.6, 0.2};
      rs.near_duplicate = 0.97;
      const MatchReport r = make_match_report(toy.manifest(), m, rs);
      CHECK(r.thresholds == std::vector<double>{0.2, 0.33, 0.6, 0.9});
      CHECK(r.records == 241);
      CHECK(r.genuine + r.pairs + r.class_pairs + r.rejected == 241);
      CHECK(r.reasons.at("listed before") == 1);
      std::int64_t reasons = 0, attacks = 0;
      for (const auto& [reason, n] : r.reasons) reasons += n;
      CHECK(reasons == r.rejected);
      std::vector<std::int64_t> uses(240);
      for (const auto& o : m.outcomes)
        if (o.kind == Kind::pair) ++uses[std::size_t(o.partner)];
      CHECK(r.uses == uses);
      std::sort(uses.begin(), uses.end());
      uses.erase(uses.begin(), std::upper_bound(uses.begin(), uses.end(), 0));
      CHECK(r.genuine_used == std::int64_t(uses.size()));
      CHECK(r.most_uses == uses.back());
      CHECK(r.mean_uses == doctest::Approx(double(r.pairs) / double(uses.size())));
      CHECK(r.median_uses == (double(uses[(uses.size() - 1) / 2]) + double(uses[uses.size() / 2])) / 2);

      CHECK(r.species.size() == 6);  // three in each split
      for (const SpeciesMatch& sp : r.species) {
        std::int64_t n = 0, compared = 0, near = 0;
        std::map<Kind, std::int64_t> kinds;
        std::vector<std::int64_t> kept(4), histogram(100);
        std::vector<double> similarities;
        for (std::size_t i = 0; i < 240; ++i) {
          const Record& rec = toy.manifest().records[i];
          if (rec.label != sp.species || rec.split != sp.split) continue;
          const MatchOutcome& o = m.outcomes[i];
          ++n, ++kinds[o.kind];
          if (o.neighbours.empty()) continue;
          const double x = o.neighbours[0].similarity;
          ++compared, near += x >= 0.97, similarities.push_back(x);
          for (std::size_t t = 0; t < 4; ++t) kept[t] += o.mutual && x >= r.thresholds[t];
          for (int b = 0; b < 100; ++b) histogram[std::size_t(b)] += x >= (b - 50) / 50.0 && (b == 99 || x < (b - 49) / 50.0);
        }
        attacks += n;
        CHECK(sp.attacks == n);
        CHECK(sp.compared == compared);
        CHECK(sp.pairs == kinds[Kind::pair]);
        CHECK(sp.class_pairs == kinds[Kind::class_pair]);
        CHECK(sp.rejected == kinds[Kind::rejected]);
        CHECK(sp.near_duplicates == near);
        CHECK(sp.kept_at == kept);
        CHECK(sp.histogram == histogram);
        CHECK(sp.threshold == (sp.species == kPrint ? 0.33 : 0.6));
        CHECK(sp.kept_at[sp.species == kPrint ? 1 : 2] == sp.pairs);  // what was kept is what the table says
        std::sort(similarities.begin(), similarities.end());
        CHECK(sp.least == similarities.front());
        CHECK(sp.greatest == similarities.back());
        CHECK(sp.median == (similarities[(similarities.size() - 1) / 2] + similarities[similarities.size() / 2]) / 2);
      }
      std::int64_t all = 0;
      for (const Record& rec : toy.manifest().records) all += rec.attack();
      CHECK(attacks == all);
    }
}

TEST_CASE("match report: a species that loses everything is named, by split") {
  Toy toy(2);
  toy.add("g", Label{}, at_angle(0), "", "");
  toy.add("a", kPrint, at_angle(0), "", "");
  toy.add("b", kReplay, at_angle(80), "", "");
  toy.add("c", kReplay, {}, "", "");
  Matching m = toy.match({});
  CHECK(make_match_report(toy.manifest(), m).lost() == std::vector<std::string>{"replay"});
  CHECK(to_table(make_match_report(toy.manifest(), m)).find("LOST") != std::string::npos);
  MatchSettings s;
  s.class_partners = true;
  m = toy.match(s);
  CHECK(make_match_report(toy.manifest(), m).lost().empty());
  CHECK(to_table(make_match_report(toy.manifest(), m)).find("LOST") == std::string::npos);
  toy.add("h", Label{}, at_angle(0), "", "val");
  toy.add("d", kPrint, at_angle(99), "", "val");
  CHECK(make_match_report(toy.manifest(), toy.match({})).lost() == std::vector<std::string>{"replay", "print of split val"});
  // What came rejected is lost too, and nothing brings it back.
  toy.add("x", kCutout, at_angle(0), "", "").reject_reason = "no face found";
  const MatchReport r = make_match_report(toy.manifest(), toy.match(s));
  CHECK(r.lost() == std::vector<std::string>{"cutout"});
  CHECK(r.species[2].attacks == 1);
  CHECK(r.species[2].compared == 0);
  CHECK(r.species[2].rejected == 1);
}

TEST_CASE("match report: the files hold what the report says") {
  TempFolder dir;
  Toy toy(2);
  toy.add("g, \"0\"", Label{}, at_angle(0), "anna");
  toy.add("gé", Label{}, at_angle(90), "ben");
  toy.add("a0", kPrint, at_angle(1));
  toy.add("a1", kPrint, at_angle(30));
  toy.add("a2", kReplay, {});
  MatchSettings s;
  s.mode = MatchMode::top_k, s.k = 2, s.threshold = 0.9;
  const Matching m = toy.match(s);
  MatchReportSettings rs;
  rs.thresholds = {0.5};
  const MatchReport r = make_match_report(toy.manifest(), m, rs);
  write_match_report(dir / "r", toy.manifest(), m, r, {{"list", "toy"}});
  const std::string s0 = format_number(toy.cosine_of(2, 0)), s1 = format_number(toy.cosine_of(3, 0)), far0 = format_number(toy.cosine_of(2, 1)),
                    far1 = format_number(toy.cosine_of(3, 1));
  const auto file = [&](const char* name) { return read_file(dir / "r" / name); };
  CHECK(file("retention.csv") == "split,species,code,attacks,compared,threshold,kept\n"
                                 "train,print,1_0_0,2,2,0.5,2\ntrain,print,1_0_0,2,2,0.9,1\ntrain,replay,1_0_1,1,0,0.5,0\ntrain,replay,1_0_1,1,0,0.9,0\n");
  CHECK(file("histogram.csv") == "split,species,code,from,to,attacks\ntrain,print,1_0_0,0.86,0.88,1\ntrain,print,1_0_0,0.98,1,1\n");
  CHECK(file("reuse.csv") == "filename,subject,split,attacks\n\"g, \"\"0\"\"\",anna,train,1\ngé,ben,train,0\n");
  CHECK(file("rejects.csv") == "filename,reason\na1,match: the nearest genuine face is below the threshold 0.9\na2,match: no embedding\n");
  CHECK(file("near_duplicates.csv") == "filename,code,nearest,similarity\na0,1_0_0,\"g, \"\"0\"\"\"," + s0 + "\n");
  CHECK(file("attacks.csv") ==
        "filename,code,split,kind,partner,similarity,nearest,nearest_similarity,reason\n"
        "a0,1_0_0,train,identity,\"g, \"\"0\"\"\"," + s0 + ",\"g, \"\"0\"\"\"," + s0 + ",\n"
        "a1,1_0_0,train,rejected,,,\"g, \"\"0\"\"\"," + s1 + ",match: the nearest genuine face is below the threshold 0.9\n"
        "a2,1_0_1,train,rejected,,,,,match: no embedding\n");
  CHECK(file("neighbours.csv") == "filename,rank,genuine,similarity\na0,1,\"g, \"\"0\"\"\"," + s0 + "\na0,2,gé," + far0 + "\na1,1,\"g, \"\"0\"\"\"," + s1 +
                                      "\na1,2,gé," + far1 + "\n");
  const auto j = nlohmann::json::parse(file("match.json"));
  CHECK(j["provenance"]["list"] == "toy");
  CHECK(j["rule"]["mode"] == "top-k");
  CHECK(j["rule"]["k"] == 2);
  CHECK(j["records"] == 5);
  CHECK(j["genuine"] == 2);
  CHECK(j["pairs"] == 1);
  CHECK(j["rejected"] == 2);
  CHECK(j["species"][0]["kept_at"] == std::vector<int>{2, 1});
  CHECK(j["species"][1]["similarity_median"].is_null());
  CHECK(j["reuse"]["used"] == 1);
  const std::string table = to_table(r);
  CHECK(table.find("5 records = 2 genuine + 1 pairs + 0 class pairs + 2 rejected\n") != std::string::npos);
  CHECK(table.find("  rejected: 1 (match: no embedding)\n") != std::string::npos);
  CHECK(table.find("re-use: 1 of 2 genuine faces have attacks; 1 at most") != std::string::npos);
  CHECK(table.find("near-duplicates: 1 attacks") != std::string::npos);
}

TEST_CASE("match: the published list, in and out, by hand") {
  TempFolder dir;
  const std::string head = "path,label_original,resolution,class,label,abs_path";
  const std::string list = dir.file("clean.csv", head +
                                                     "\nT/0.png,1_0_0,9x9,\"Physical, 2D\",1,/d/T/0.png\n"
                                                     "T/1.png,0_0_0,9x9,Live Face,0,/d/T/1.png\n"
                                                     "T/2.png,2_1_0,9x9,Digital,1,/d/T/2.png\n"
                                                     "T/3.png,0_0_0,8x8,Live Face,0,/d/T/3.png\n"
                                                     "T/4.png,2_1_0,9x9,Digital,1,/d/T/4.png\n"
                                                     "T/5.png,0_0_0,8x8,Live Face,0,/d/T/5.png\n");
  // Flat .npy files; no face was found in T/5.png.
  const std::vector<std::vector<float>> vectors = {{0, 1}, {0.6f, 0.8f}, {1, 0}, {1, 0}, {0.8f, 0.6f}};
  for (std::size_t i = 0; i < vectors.size(); ++i) write_npy(dir / str(i, ".npy"), {2}, vectors[i]);
  const Manifest m = read_any_list(list);
  const EmbeddingRows rows = find_npy_embeddings(dir.path(), "", m);
  MatchSettings s;
  s.threshold = 0.9;
  Context ctx;
  const Matching matching = match(ctx, m, rows, s);
  // 0: to 1 at .8. 2: to 3 at 1. 4: to 1 at .48 + .48 = .96, to 3 at .8.
  const std::string near = format_number((double(0.6f) * double(0.8f) + double(0.8f) * double(0.6f)) /
                                         std::sqrt((double(0.8f) * double(0.8f) + double(0.6f) * double(0.6f)) * (double(0.6f) * double(0.6f) + double(0.8f) * double(0.8f))));
  write_published_csv(dir / "out.csv", matched_list(m, matching));
  const std::string want = head + ",max_live_sim,paired_live_path\n" +
                           "T/1.png,0_0_0,9x9,Live Face,0,/d/T/1.png,,\n"
                           "T/3.png,0_0_0,8x8,Live Face,0,/d/T/3.png,,\n"
                           "T/2.png,2_1_0,9x9,Digital,1,/d/T/2.png,1,T/3.png\n"
                           "T/4.png,2_1_0,9x9,Digital,1,/d/T/4.png," + near + ",T/1.png\n";
  CHECK(read_file(dir / "out.csv") == want);
  CHECK(near.starts_with("0.96"));

  const Manifest back = read_published_csv(dir / "out.csv");
  REQUIRE(back.records.size() == 4);
  CHECK(back.records[3].pair_filename == "T/1.png");
  CHECK(back.records[3].pair_similarity == matching.outcomes[4].similarity);
  CHECK(back.records[2].extra == std::vector<std::string>{"9x9", "Digital", "1", "/d/T/2.png"});
  write_published_csv(dir / "again.csv", back);
  CHECK(read_file(dir / "again.csv") == want);
}

TEST_CASE("published list: boxes, people and splits are written where there are any") {
  TempFolder dir;
  ListBuilder b;
  b.add("a, b.png", Label{}, {}, "Zoë").box = {1, 2.5f, 30, 40};
  b.add("no face.png", Label{});
  Record& attack = b.add("x.png", kPrint, "a, b.png");
  attack.pair_similarity = 0.875, attack.split = "train", attack.domain = "lab";
  b.add("unpaired.png", kPrint);
  b.add("rejected.png", kPrint, "a, b.png").reject_reason = "no";
  b.add("unlabelled.png", std::nullopt);
  write_published_csv(dir / "p.csv", b.manifest);
  CHECK(read_file(dir / "p.csv") ==
        "path,label_original,label,subject,domain,split,max_live_sim,paired_live_path,x1,y1,x2,y2\n"
        "\"a, b.png\",0_0_0,0,Zoë,,,,,1,2.5,30,40\n"
        "no face.png,0_0_0,0,,,,,,-1,-1,-1,-1\n"
        "x.png,1_0_0,1,,lab,train,0.875,\"a, b.png\",-1,-1,-1,-1\n");
  const Manifest m = read_published_csv(dir / "p.csv");
  CHECK(m.records[0].subject == "Zoë");
  CHECK(m.records[0].box.y1 == 2.5f);
  CHECK(m.records[2].pair_filename == "a, b.png");
  CHECK(m.records[2].split == "train");
  CHECK(!m.records[2].box.valid());
}

namespace {

void expect_same(const Matching& got, const Matching& want) {
  REQUIRE(got.outcomes.size() == want.outcomes.size());
  for (std::size_t i = 0; i < want.outcomes.size(); ++i) {
    const MatchOutcome &a = got.outcomes[i], &b = want.outcomes[i];
    CAPTURE(i);
    CHECK(a.kind == b.kind);
    CHECK(a.partner == b.partner);
    CHECK((a.similarity == b.similarity || (std::isnan(a.similarity) && std::isnan(b.similarity))));
    CHECK(a.reason == b.reason);
    CHECK(a.mutual == b.mutual);
    REQUIRE(a.neighbours.size() == b.neighbours.size());
    for (std::size_t n = 0; n < a.neighbours.size(); ++n) {
      CHECK(a.neighbours[n].index == b.neighbours[n].index);
      CHECK(a.neighbours[n].similarity == b.neighbours[n].similarity);
    }
  }
}

}  // namespace

TEST_CASE("match: in blocks of any size, from a journal cut anywhere, it is the same") {
  const Toy toy = random_toy(5);
  const TempFolder folder;
  for (const MatchMode mode : {MatchMode::nearest, MatchMode::mutual, MatchMode::top_k}) {
    MatchSettings s;
    s.mode = mode, s.k = 3, s.threshold = 0.5;
    const Matching want = toy.match(s);
    for (const std::int64_t rows : {1, 7, 1000}) {
      Context ctx;
      Matcher m(ctx, toy.manifest(), toy.rows, s, rows);
      CHECK(m.share(m.blocks()) == 1);
      std::vector<double> shares;
      for (std::int64_t b = 0; b < m.blocks(); ++b) m.set(b, m.find(b, [&](double x) { shares.push_back(x); }));
      expect_same(m.decide(), want);
      CHECK(std::is_sorted(shares.begin(), shares.end()));
      CHECK(shares.front() > 0);
      CHECK(shares.back() == doctest::Approx(1));
    }
    Context any;
    const auto blocks = Matcher(any, toy.manifest(), toy.rows, s, 9).blocks();
    REQUIRE(blocks > 8);
    std::string whole;
    for (const std::int64_t cut : {blocks, std::int64_t(0), std::int64_t(1), blocks / 2, blocks - 1}) {
      Context ctx;
      Matcher m(ctx, toy.manifest(), toy.rows, s, 9);
      const WorkPlan plan{.journal = folder / "match.journal", .command = "match", .inputs = m.blocks(), .fingerprint = m.fingerprint()};
      if (cut < blocks) {  // in the middle of line `cut`
        std::size_t at = 0;
        for (std::int64_t line = 0; line < cut + 3; ++line) at = whole.find('\n', at) + 1;
        write_file_atomically(plan.journal, std::string_view(whole).substr(0, at + 20), Durable::eventually);
      }
      WorkList work(plan);
      CHECK(work.done() == (cut < blocks ? cut : 0));
      CHECK(work.run_here({}, [&](std::int64_t b) { return m.find(b); }));
      work.for_each([&](std::int64_t b, const WorkResult& r) { m.set(b, r.text); });
      expect_same(m.decide(), want);
      if (whole.empty()) whole = read_file(plan.journal);
      CHECK(read_file(plan.journal) == whole);
      if (cut == blocks - 1) work.remove();
    }
  }
}

TEST_CASE("match: the fingerprint is that of what is compared, and of nothing else") {
  const auto of = [](const std::function<void(Toy&, MatchSettings&)>& change, std::int64_t rows = 4) {
    Toy toy = random_toy(6);
    MatchSettings s;
    s.mode = MatchMode::top_k, s.k = 2;
    change(toy, s);
    Context ctx;
    return Matcher(ctx, toy.manifest(), toy.rows, s, rows).fingerprint();
  };
  const Toy toy = random_toy(6);
  std::vector<std::size_t> attacks, genuine;  // that are compared
  for (std::size_t i = 0; i < toy.manifest().records.size(); ++i) {
    const Record& r = toy.manifest().records[i];
    if (toy.rows.row[i] >= 0 && r.reject_reason.empty() && r.label && r.split == "train") (r.genuine() ? genuine : attacks).push_back(i);
  }
  const auto value = [](Toy& t, std::size_t record) -> float& { return t.values[std::size_t(t.rows.row[record] * t.rows.dimension + 5)]; };
  const std::uint64_t as_it_is = of([](Toy&, MatchSettings&) {});
  CHECK(of([](Toy&, MatchSettings& s) { s.threshold = 0.3, s.species_threshold[kPrint] = 0.9, s.class_partners = true, s.seed = 9; }) == as_it_is);
  CHECK(of([&](Toy& t, MatchSettings&) { t.list.manifest.records[attacks[0]].filename = "renamed"; }) == as_it_is);
  for (const std::size_t i : {attacks.front(), attacks.back(), genuine.front(), genuine.back()})
    CHECK(of([&](Toy& t, MatchSettings&) { value(t, i) = std::nextafter(value(t, i), 2.0f); }) != as_it_is);
  CHECK(of([](Toy&, MatchSettings& s) { s.k = 3; }) != as_it_is);
  CHECK(of([](Toy&, MatchSettings& s) { s.mode = MatchMode::mutual; }) != as_it_is);
  CHECK(of([](Toy&, MatchSettings& s) { s.same_subject = true; }) != as_it_is);
  CHECK(of([](Toy&, MatchSettings&) {}, 5) != as_it_is);
  CHECK(of([&](Toy& t, MatchSettings&) { t.list.manifest.records[genuine[1]].reject_reason = "too blurred"; }) != as_it_is);
  CHECK(of([&](Toy& t, MatchSettings&) { std::swap(t.rows.row[genuine[0]], t.rows.row[genuine[1]]); }) != as_it_is);
}

TEST_CASE("match: what is no result of a block is refused") {
  Toy toy(2);
  for (int i = 0; i < 2; ++i) toy.add(str("g", i), Label{}, at_angle(i));
  for (int i = 0; i < 3; ++i) toy.add(str("a", i), kPrint, at_angle(10 * i));
  MatchSettings s;
  s.mode = MatchMode::top_k, s.k = 3, s.threshold = 0;
  Context ctx;
  Matcher m(ctx, toy.manifest(), toy.rows, s);
  REQUIRE(m.blocks() == 1);
  const std::string found = m.find(0);
  REQUIRE(found.size() == 3 * 3 * sizeof(Neighbour));
  const auto with = [&](std::size_t entry, std::int64_t index) {
    std::string other = found;
    std::memcpy(other.data() + entry * sizeof(Neighbour), &index, sizeof index);
    return other;
  };
  for (const std::string& bad : {std::string(), found.substr(1), found + "x", with(0, 2), with(0, -1), with(3, -1), with(8, 2), with(1, INT64_MAX)})
    expect_throw("block 0 of the comparisons: these are not its results", [&] { m.set(0, bad); });
  m.set(0, with(2, -7));  // there are but two: what the third is called is nobody's business
  m.set(0, found);        // once more: no neighbour comes twice
  expect_same(m.decide(), toy.match(s));
}
