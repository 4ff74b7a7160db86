// data/purge.cpp — see purge.h.
#include "data/purge.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <unordered_set>

#include "data/csv.h"
#include "data/embeddings.h"
#include "data/match.h"
#include "data/npy_tree.h"
#include "data/packed.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

constexpr const char* kPartnerErased = "its partner was erased";

// A list as text: what is not the person's stays as it was written.
struct ListFile {
  std::filesystem::path path;
  bool published = false;
  int filename = -1, subject = -1, partner = -1, similarity = -1, reject = -1, embedding = -1, attack_kind = -1;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::vector<int> lines;
};

std::string trimmed(const std::string& s) {
  const std::size_t begin = s.find_first_not_of(" \t"), end = s.find_last_not_of(" \t");
  return begin == s.npos ? "" : s.substr(begin, end - begin + 1);
}

ListFile read_list(const std::filesystem::path& path) {
  CsvReader csv(path);
  ListFile f;
  f.path = path;
  f.published = csv.find("filename") < 0 && csv.find("path") >= 0;
  f.filename = csv.column(f.published ? "path" : "filename");
  f.subject = csv.find("subject");
  f.partner = csv.find(f.published ? "paired_live_path" : "pair_filename");
  f.similarity = csv.find(f.published ? "max_live_sim" : "pair_similarity");
  f.reject = csv.find("reject_reason"), f.embedding = csv.find("embedding_row"), f.attack_kind = csv.find("pair_kind");
  f.header = csv.header();
  while (csv.next()) {
    csv.integer(f.embedding);  // throws where it is no number
    f.rows.push_back(csv.row());
    f.lines.push_back(csv.line());
  }
  return f;
}

struct Person {
  std::set<std::string> subjects, seen, photographs;
  bool look_at(const std::string& filename, const std::string& subject) {
    if (!subjects.count(subject)) return false;
    seen.insert(subject);
    photographs.insert(filename);
    return true;
  }
  bool has(const std::string& filename) const { return photographs.count(filename) > 0; }
  // A photograph of the person is what the field says, or the tail of a path that it says.
  bool mentioned(const std::string& field) const {
    for (std::size_t at = 0;; ++at) {
      if (has(field.substr(at))) return true;
      if ((at = field.find('/', at)) == field.npos) return false;
    }
  }
};

// The list without the person. `rows`: new rows of the embeddings by filename, where embeddings are purged with it.
std::string purged_list(ListFile& f, const Person& person, const std::unordered_map<std::string, std::int64_t>* rows,
                        PurgeReport::File& report) {
  std::string text = csv_line(f.header);
  const auto set = [](std::vector<std::string>& row, int column, std::string value) {
    if (column >= 0) row[std::size_t(column)] = std::move(value);
  };
  for (std::size_t i = 0; i < f.rows.size(); ++i) {
    std::vector<std::string>& row = f.rows[i];
    const std::string filename = trimmed(row[std::size_t(f.filename)]);
    if (person.has(filename)) {
      ++report.removed;
      continue;
    }
    if (f.partner >= 0 && person.has(trimmed(row[std::size_t(f.partner)]))) {
      ++report.pairs_lost;
      set(row, f.partner, ""), set(row, f.similarity, ""), set(row, f.attack_kind, "");
      if (f.reject >= 0 && trimmed(row[std::size_t(f.reject)]).empty()) set(row, f.reject, std::string(kMatchReason) + kPartnerErased);
    }
    if (rows && f.embedding >= 0 && !csv_missing(trimmed(row[std::size_t(f.embedding)]))) {
      const auto it = rows->find(filename);
      if (it == rows->end())
        throw Error(str(f.path.string(), ":", f.lines[i], ": has an embedding_row, but the embeddings know no ", filename,
                        ": this list and these embeddings do not belong together; nothing was changed"));
      set(row, f.embedding, str(it->second));
    }
    for (const std::string& field : row) report.mentions += person.mentioned(field);
    text += csv_line(row);
  }
  return text;
}

// New packed files beside the old ones; those that are not committed go away.
struct PackedWriters {
  std::vector<std::unique_ptr<PackedWriter>> all;
  void add(const fs::path& path, double margin) { all.push_back(std::make_unique<PackedWriter>(path, margin)); }
  void commit(std::size_t k) {
    all[k]->commit();
    all[k].reset();
  }
  ~PackedWriters() {
    for (const auto& w : all)
      if (w) w->discard();
  }
};

void refuse_unfinished(const fs::path& folder) {
  if (const fs::path journal = folder / kEmbedJournal; fs::exists(journal))
    throw Error(journal.string() + ": bonafide embed has not finished here and keeps vectors in it; nothing was changed");
}

void remove_files(const NpyTree& tree, const NpyTree::Share& share) {
  for (const NpyTree::File* f : share.files) {
    std::error_code error;
    fs::remove(f->path, error);
    if (error) throw Error(str(f->path.string(), ": cannot delete: ", error.message(), "; the same call goes on"));
    fs::path below = f->path.lexically_relative(tree.folder()).parent_path();
    while (!below.empty() && fs::remove(tree.folder() / below, error)) below = below.parent_path();  // false: not empty
  }
}

}  // namespace

PurgeReport purge(const PurgePlan& plan) {
  Person person{{plan.subjects.begin(), plan.subjects.end()}, {}, {}};
  for (const std::string& s : plan.subjects)
    if (trimmed(s).empty()) throw Error("a subject without a name: rows of unknown people are not erased");
  // Rows that a file itself gives to the person. What knows most is replaced last: interrupted before that, the same call
  // finds the person again.
  struct Replacement {
    std::int64_t known = 0;
    std::function<void()> commit;
  };
  std::vector<Replacement> replacements;
  std::unique_ptr<EmbeddingsFile> embeddings;
  if (!plan.embeddings.empty()) {
    refuse_unfinished(plan.embeddings.parent_path());
    embeddings = std::make_unique<EmbeddingsFile>(plan.embeddings);
    replacements.emplace_back();
    for (const EmbeddedFace& face : embeddings->faces()) replacements[0].known += person.look_at(face.filename, face.subject);
  }
  std::vector<ListFile> lists;
  for (const auto& path : plan.lists) {
    lists.push_back(read_list(path));
    const ListFile& f = lists.back();
    replacements.emplace_back();
    if (f.subject >= 0)
      for (const auto& row : f.rows)
        replacements.back().known += person.look_at(trimmed(row[std::size_t(f.filename)]), trimmed(row[std::size_t(f.subject)]));
  }
  std::vector<PackedFile> packs;
  for (const auto& path : plan.packs) {
    if (fs::exists(PackedWriter::partial(path))) throw Error(PackedWriter::partial(path).string() + ": is being packed; nothing was changed");
    packs.emplace_back(path);
    replacements.emplace_back();
    for (const PackedImage& i : packs.back().images()) replacements.back().known += person.look_at(i.filename, i.subject);
  }
  std::vector<NpyTree> trees;
  for (const auto& folder : plan.npy_trees) {
    refuse_unfinished(folder);
    trees.emplace_back(folder);
    replacements.emplace_back();  // knows nobody: goes first
  }
  for (const std::string& s : person.subjects)
    if (!person.seen.count(s)) throw Error(str("no row of subject '", s, "' in these files; nothing was changed"));

  // Everything that can be wrong is found before the first file is replaced.
  PurgeReport report;
  std::unordered_map<std::string, std::int64_t> new_row;
  std::optional<EmbeddingsWriter> writer;
  if (embeddings) {
    PurgeReport::File file{embeddings->name(), "embeddings", embeddings->rows(), 0, 0, 0};
    if (!plan.dry_run) writer.emplace(plan.embeddings, embeddings->info());
    std::vector<float> v(static_cast<std::size_t>(embeddings->dimension()));
    for (std::int64_t i = 0; i < embeddings->rows(); ++i) {
      const EmbeddedFace& face = embeddings->faces()[std::size_t(i)];
      if (person.has(face.filename)) {
        ++file.removed;
        continue;
      }
      new_row.emplace(face.filename, std::int64_t(new_row.size()));
      if (!writer) continue;
      embeddings->read(i, v);
      writer->append(face, v);
    }
    report.files.push_back(file);
  }
  std::vector<std::string> texts;
  for (ListFile& f : lists) {
    PurgeReport::File file{f.path.string(), f.published ? "list" : "manifest", std::int64_t(f.rows.size()), 0, 0, 0};
    texts.push_back(purged_list(f, person, embeddings ? &new_row : nullptr, file));
    report.files.push_back(file);
  }
  PackedWriters packed_writers;
  for (std::size_t k = 0; k < packs.size(); ++k) {
    PurgeReport::File file{packs[k].name(), "packed", std::int64_t(packs[k].images().size()), 0, 0, 0};
    if (!plan.dry_run) packed_writers.add(plan.packs[k], packs[k].margin());
    for (std::size_t i = 0; i < packs[k].images().size(); ++i) {
      const PackedImage& image = packs[k].images()[i];
      if (person.has(image.filename)) ++file.removed;
      else if (!plan.dry_run) packed_writers.all.back()->append(image, packs[k].load(std::int64_t(i)).pixels);
    }
    report.files.push_back(file);
  }
  std::vector<NpyTree::Share> shares;
  std::unordered_set<std::string> everybody;
  if (!trees.empty()) {
    if (embeddings)
      for (const EmbeddedFace& face : embeddings->faces()) everybody.insert(face.filename);
    for (const ListFile& f : lists)
      for (const auto& row : f.rows) everybody.insert(trimmed(row[std::size_t(f.filename)]));
    for (const PackedFile& p : packs)
      for (const PackedImage& i : p.images()) everybody.insert(i.filename);
  }
  for (const NpyTree& tree : trees) {
    shares.push_back(tree.files_of(person.photographs, everybody, plan.data_dir));
    const NpyTree::Share& share = shares.back();
    PurgeReport::File file{tree.folder().string(), "npy", tree.size(), std::int64_t(share.files.size()), 0, 0};
    file.missing = share.missing, file.shared = share.shared;
    for (const NpyTree::File* f : share.files) {
      file.links += f->link;
      report.npy_files.push_back(f->path.string());
    }
    report.files.push_back(file);
  }
  report.photographs.assign(person.photographs.begin(), person.photographs.end());
  if (plan.dry_run) return report;
  auto next = replacements.begin();
  if (writer) (next++)->commit = [&] { writer->commit(); };
  for (std::size_t i = 0; i < lists.size(); ++i) (next++)->commit = [&, i] { write_file_atomically(lists[i].path, texts[i]); };
  for (std::size_t k = 0; k < packs.size(); ++k) (next++)->commit = [&, k] { packed_writers.commit(k); };
  for (std::size_t k = 0; k < trees.size(); ++k) (next++)->commit = [&, k] { remove_files(trees[k], shares[k]); };
  std::stable_sort(replacements.begin(), replacements.end(), [](const auto& a, const auto& b) { return a.known < b.known; });
  for (const Replacement& r : replacements) r.commit();
  return report;
}

}  // namespace bonafide
