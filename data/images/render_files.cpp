// data/images/render_files.cpp — which render goes where, then every photograph on its own.
#include "data/images/render_files.h"

#include <algorithm>

#include "data/images/encode.h"
#include "engine/parallel.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

// Photographs that may lend their face to another.
class Donors {
 public:
  explicit Donors(const std::vector<const Record*>& photographs) : photographs_(photographs) {}

  const Record& draw(const Record& target, Random& random) const {
    std::vector<const Record*> others;
    for (const Record* r : photographs_)
      if (r->split == target.split && r != &target && (r->subject.empty() || r->subject != target.subject))
        others.push_back(r);
    if (others.empty())
      throw Error(str("a face swap needs photographs of a second person", target.split.empty() ? "" : " in split ",
                      target.split, " (", target.filename, " is of '", target.subject, "')"));
    return *others[std::size_t(random.below(std::int64_t(others.size())))];
  }

 private:
  const std::vector<const Record*>& photographs_;
};

struct Job {
  const Record* photograph;
  Label species;
  int k;
  Record result;
};

}  // namespace

Manifest render_files(const Manifest& photographs, const ImageSource& source, const fs::path& folder,
                      const RenderPlan& plan) {
  BF_CHECK(plan.per_image >= 1, "renders per photograph: ", plan.per_image);
  Manifest out;
  out.origin = photographs.origin;
  out.extra_columns = photographs.extra_columns;
  const bool has_source =
      std::find(out.extra_columns.begin(), out.extra_columns.end(), "source") != out.extra_columns.end();
  if (!has_source) out.extra_columns.push_back("source");

  std::vector<const Record*> genuine;
  for (const Record& r : photographs.records)
    if (r.genuine())
      genuine.push_back(&r);
    else
      out.dropped.push_back({r.filename, "not a genuine photograph", r.line});
  if (genuine.empty()) throw Error(str(photographs.origin, ": no genuine photographs to render from"));

  // One group of jobs for each photograph, in the order of the resulting manifest.
  std::vector<std::vector<Job>> jobs(genuine.size());
  for (std::size_t i = 0; i < genuine.size(); ++i) {
    std::string own;
    const auto add = [&](const Label& species, int k) {
      Job job{genuine[i], species, k, {}};
      Record& r = job.result;
      char name[32];
      std::snprintf(name, sizeof name, "%05zu-%d.jpg", i, k);
      r.filename = (fs::path(species.name()) / name).string();
      r.subject = genuine[i]->subject, r.split = genuine[i]->split, r.domain = genuine[i]->domain;
      r.label = species;
      r.pair_filename = species.genuine() ? "" : own;
      r.extra = genuine[i]->extra;
      if (!has_source) r.extra.push_back(genuine[i]->filename);
      jobs[i].push_back(std::move(job));
    };
    if (plan.include_genuine) {
      add(Label{}, 0);
      own = jobs[i].back().result.filename;
    }
    for (const Label& species : plan.species)
      for (int k = 0; k < plan.per_image; ++k) add(species, k);
  }
  fs::create_directories(folder);
  for (const Job& job : jobs[0]) fs::create_directories((folder / job.result.filename).parent_path());

  const PhotoSimulator simulator(plan.simulator);
  const Donors donors(genuine);
  parallel_for(std::int64_t(jobs.size()), [&](std::int64_t i) {
    const Image photo = source.load(jobs[std::size_t(i)][0].photograph->filename);
    for (Job& job : jobs[std::size_t(i)]) {
      Random random(plan.seed, str("render ", job.species.code(), " ", job.photograph->filename), std::uint64_t(job.k));
      const Record& target = *job.photograph;
      AttackSimulator::Result render;
      if (simulator.needs_donor(job.species)) {
        const Record& donor = donors.draw(target, random);
        render = simulator.swap(photo, target.box, target.landmarks, source.load(donor.filename), donor.box,
                                donor.landmarks, random);
      } else {
        render = simulator.render(photo, target.box, nullptr, {}, job.species, random);
      }
      job.result.box = render.face;
      write_jpeg((folder / job.result.filename).string(), render.image, plan.jpeg_quality, Chroma::s444);
    }
  });
  for (auto& group : jobs)
    for (Job& job : group) out.records.push_back(std::move(job.result));
  return out;
}

}  // namespace bonafide
