// data/purge.h — erases a person from what this program stores: embeddings with their index, manifests, published lists,
// packed photographs, trees of .npy files.
//
// A row is the person's where its subject is the given name, in any of the files; a photograph that is the person's in one file
// is so in all. These rows are not in the new files. An attack on somebody else whose genuine partner is erased loses it: its
// pair_filename and pair_similarity become empty, its reject_reason "match: its partner was erased" (the next `bonafide match`
// looks at it afresh; a published list, which has no such column, just has no pair there any more). Rows of the embeddings move
// up, and embedding_row follows them.
//
// In a tree of .npy files (data/npy_tree.h) the files of the person's photographs are deleted, and folders that are empty then.
// Names are all there is to go by: a file that could as well be somebody else's (match calls it ambiguous and does not use it)
// is deleted too, and counted. Nothing outside the tree is touched: of a link the link goes, not what it leads to.
//
// Every other file is written anew beside the old one and renamed: nothing of the person is in the new files, and no file is half
// written. What is on the disk where the old files were, in backups, and the photographs themselves are not this program's to
// erase. Interrupted between two files, the same call again finishes the work.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "engine/base.h"

namespace bonafide {

struct PurgePlan {
  std::vector<std::string> subjects;
  std::filesystem::path embeddings;           // empty: none
  std::vector<std::filesystem::path> lists;   // CSVs: manifests (filename, …) and all that have a column path
  bool dry_run = false;                       // count, write nothing
  std::vector<std::filesystem::path> packs{}; // packed photographs (data/packed.h)
  std::vector<std::filesystem::path> npy_trees{};
  std::filesystem::path data_dir{};           // what the photographs' names are relative to; only to find .npy files by
};

struct PurgeReport {
  struct File {
    std::string name, kind;       // "embeddings", "manifest", "list", "packed", "npy"
    std::int64_t rows = 0;        // before; of a tree: files
    std::int64_t removed = 0;
    std::int64_t pairs_lost = 0;  // attacks that lost their partner
    std::int64_t mentions = 0;    // of removed photographs in what is left (names in other columns): for people to look at
    std::int64_t missing = 0;     // of a tree: photographs of the person that have no file there
    std::int64_t shared = 0;      // of a tree: removed files that may have been another photograph's
    std::int64_t links = 0;       // of a tree: removed links; what they lead to is still there
  };
  std::vector<File> files;                // in the order of the plan
  std::vector<std::string> photographs;   // of the person, sorted: they are still where they were
  std::vector<std::string> npy_files;     // that were removed
};

// Throws, before anything is written, where a file cannot be read, where no file knows one of the subjects, and where an
// embedding_row does not belong to the embeddings; and where `bonafide embed` or `bonafide pack` was interrupted beside a file:
// going on, it would bring the person back.
PurgeReport purge(const PurgePlan& plan);

}  // namespace bonafide
