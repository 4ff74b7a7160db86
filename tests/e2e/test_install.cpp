// tests/e2e/test_install.cpp — the library as another project meets it: installed, moved, found by find_package, built
// against outside the tree, with OpenCV and without.
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "data/detector.h"
#include "data/images/encode.h"
#include "engine/files.h"
#include "engine/philox.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

struct Result {
  int code = 0;
  std::string text;  // stdout and stderr
};

Result shell(const std::string& command) {
  const TempFolder scratch;
  const fs::path out = scratch / "out";
  const int status = std::system(str("( ", command, " ) >'", out.string(), "' 2>&1").c_str());
  return {status, read_file(out)};
}

void expect(const Result& r, bool ok, const std::string& part) {
  CAPTURE(r.text);
  CHECK((r.code == 0) == ok);
  CHECK(r.text.find(part) != std::string::npos);
}

// A line `NAME:TYPE=value` of this build's cache. Other projects must use our compiler and, under a sanitizer, our flags.
std::string cached(const std::string& name) {
  std::istringstream in(read_file(fs::path(BF_BINARY_DIR) / "CMakeCache.txt"));
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(name + ":")) return line.substr(line.find('=') + 1);
  throw Error("no " + name + " in CMakeCache.txt");
}

// This build installed into one folder and moved to another.
struct Installation {
  TempFolder folder;
  fs::path prefix = folder / "moved";
  Installation() {
    const std::string first = folder / "first";
    expect(shell(str("cmake --install '", BF_BINARY_DIR, "' --prefix '", first, "'")), true, "bonafide-config.cmake");
    fs::rename(first, prefix);
  }
  Result configure(const fs::path& project, const std::string& more = {}) const {
    return shell(str("cmake -G Ninja -S '", project.string(), "' -B '", (project / "build").string(), "' -DCMAKE_PREFIX_PATH='",
                     prefix.string(), "' -DCMAKE_CXX_COMPILER='", cached("CMAKE_CXX_COMPILER"), "' -DCMAKE_CXX_FLAGS='",
                     cached("CMAKE_CXX_FLAGS"), "' ", more));
  }
  Result build(const fs::path& project) const { return shell(str("cmake --build '", (project / "build").string(), "'")); }
};

// A model file with random weights, and a picture to look at.
struct Material {
  TempFolder folder;
  fs::path model = folder / "model.safetensors", picture = folder / "face.png";
  Image image{40, 48};
  Material() {
    ModelInfo info;
    info.architecture.backbone = {.name = "convnextv2_atto", .depths = {1, 1, 1, 1}, .dims = {8, 12, 16, 24}};
    info.architecture.projection = 16;
    info.input_size = 32;
    Context context;
    PairedModel network(context, info.architecture);
    network.parameters().initialise(seed());
    info.threshold = ModelThreshold{.value = 0.25, .criterion = "eer", .data = "none"};
    save_model(model, network.parameters(), info);
    Random r(seed(), "picture");
    for (auto& v : image.pixels) v = std::uint8_t(r.uniform() * 255);
    write_png(picture.string(), image);
  }
  std::string answer(const Box& face) const {
    const auto result = Detector(model).detect(image, face);
    char line[80];
    std::snprintf(line, sizeof line, "P(attack) %.4f: %s\n", double(result.score), name_of(result.verdict));
    return line;
  }
};

std::string quoted(const fs::path& p) { return "'" + p.string() + "' "; }

}  // namespace

TEST_CASE("install: the example, outside the tree, scores a photograph as the library itself does") {
  const Installation installation;
  const Material m;
  const TempFolder outside;
  const fs::path project = outside / "score_image", program = project / "build" / "score_image";
  fs::copy(fs::path(BF_SOURCE_DIR) / "docs/examples/score_image", project);
  expect(installation.configure(project), true, "Generating done");
  expect(installation.build(project), true, "");
  const std::string words = quoted(program) + quoted(m.model) + quoted(m.picture);
  CHECK(shell(words).text == m.answer({}));
  CHECK(shell(words + "4 5 30 33").text == m.answer({4, 5, 30, 33}));
  CHECK(m.answer({}) != m.answer({4, 5, 30, 33}));
  expect(shell(quoted(program) + quoted(m.model) + quoted(m.model)), false, "score_image: " + m.model.string());
  // The program and its two other names.
  expect(shell((installation.prefix / "bin/bonafide").string() + " --version"), true, "bonafide 0");
  expect(shell((installation.prefix / "bin/bonafide-eval").string() + " --help"), true, "--checkpoint");
  expect(shell((installation.prefix / "bin/bonafide-train").string() + " --help"), true, "--config");
  const std::string doctor = (installation.prefix / "bin/bonafide").string() + " doctor --model ";
  expect(shell(doctor + "convnextv2_tiny"), true, "28,211,841        4,455,108,096\n28.2 M parameters, 4.455 G multiply");
  expect(shell(doctor + "convnextv2_atto --image-size 112"), true, "0.131 G");
  expect(shell(doctor + "convnext_tiny"), false, "known are convnextv2_atto");
  for (const char* file : {"share/bonafide/configs/default.json", "share/doc/bonafide/LICENSE"})
    CHECK_MESSAGE(fs::exists(installation.prefix / file), file);
}

TEST_CASE("install: the part without OpenCV needs none, every header stands alone and needs no CUDA, no file knows where it was built") {
  const Installation installation;
  const Material m;
  const TempFolder project;
  std::string all, strayed;
  for (const auto& e : fs::recursive_directory_iterator(installation.prefix)) {
    const fs::path file = e.path();
    const std::string name = fs::relative(file, installation.prefix / "include").generic_string();
    if (file.extension() == ".h") all += "#include <" + name + ">\n";
    if (file.extension() != ".h" && file.extension() != ".cmake") continue;
    const std::string text = read_file(file);
    if (text.find("#include <cu") != text.npos) strayed += "\n  " + name + " needs CUDA's headers";
    for (const auto& trace : {std::string(BF_SOURCE_DIR), std::string(BF_BINARY_DIR), (installation.folder / "first").string()})
      for (std::size_t at = text.find(trace); at != text.npos; at = text.find(trace, at + 1))
        // Where a path begins: a clone at /bonafide is no reason to stumble over lib/cmake/bonafide.
        if (at == 0 || (!std::isalnum(static_cast<unsigned char>(text[at - 1])) && text[at - 1] != '}'))
          strayed += "\n  " + name + " contains " + trace;
  }
  CHECK_MESSAGE(strayed.empty(), strayed);
  CHECK(all.find("<bonafide/data/detector.h>") != all.npos);
  project.file("CMakeLists.txt", R"(cmake_minimum_required(VERSION 3.25)
project(plain LANGUAGES CXX)
find_package(bonafide REQUIRED)
if(TARGET bonafide::images)
  message(FATAL_ERROR "images without being asked for")
endif()
add_executable(plain plain.cpp)
target_link_libraries(plain PRIVATE bonafide::bonafide)
)");
  // The folder of another project that has names like ours on its path, too.
  fs::create_directories(project / "data");
  project.file("data/image.h", "#error somebody else's header\n");
  project.file("plain.cpp", all + R"(#include <cstdio>
#include <cstdlib>
int main(int, char** argv) {
  bonafide::Image image(40, 48);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = std::uint8_t(std::getchar());
  const auto result = bonafide::Detector(argv[1]).detect(image);
  std::printf("P(attack) %.4f: %s\nchecked %d\n", double(result.score), bonafide::name_of(result.verdict), BF_CHECKED);
}
)");
  write_file_atomically(project / "pixels", std::string_view(reinterpret_cast<const char*>(m.image.pixels.data()), m.image.pixels.size()));
  expect(installation.configure(project.path(), "-DCMAKE_DISABLE_FIND_PACKAGE_OpenCV=ON -DCMAKE_DISABLE_FIND_PACKAGE_libjpeg-turbo=ON "
                                                "-DCMAKE_INCLUDE_DIRECTORIES_BEFORE=ON -DCMAKE_CXX_STANDARD_INCLUDE_DIRECTORIES='" +
                                                    project.path().string() + "'"),
         true, "Generating done");
  expect(installation.build(project.path()), true, "");
  const fs::path program = project / "build/plain";
  CHECK(shell(quoted(program) + quoted(m.model) + "<" + quoted(project / "pixels")).text == m.answer({}) + str("checked ", BF_CHECKED, "\n"));
  expect(shell("ldd " + program.string()), true, "libdnnl");
  CHECK(shell("ldd " + program.string()).text.find("opencv") == std::string::npos);
}

TEST_CASE("install: find_package says what is wrong") {
  const Installation installation;
  const auto find = [&](const std::string& words, const std::string& more = {}) {
    const TempFolder project;
    project.file("CMakeLists.txt", "cmake_minimum_required(VERSION 3.25)\nproject(find LANGUAGES CXX)\nfind_package(bonafide " + words + ")\n");
    return installation.configure(project.path(), more);
  };
  expect(find("9.9 REQUIRED"), false, "bonafide-config.cmake, version: 0");
  expect(find("REQUIRED COMPONENTS faces"), false, "no component 'faces'");
  expect(find("REQUIRED COMPONENTS images", "-DCMAKE_DISABLE_FIND_PACKAGE_OpenCV=ON"), false, "OpenCV");
  // What the description reads is there, also where this build does without it (CUDA).
  const fs::path package = installation.prefix / cached("CMAKE_INSTALL_LIBDIR") / "cmake/bonafide";
  const std::string config = read_file(package / "bonafide-config.cmake"), include = "include(\"${CMAKE_CURRENT_LIST_DIR}/";
  std::size_t files = 0;
  for (std::size_t at = config.find(include); at != config.npos; at = config.find(include, at + 1), ++files) {
    const std::size_t name = at + include.size();
    CHECK_MESSAGE(fs::exists(package / config.substr(name, config.find('"', name) - name)), config.substr(name, 40));
  }
  CHECK(files >= 6);
  fs::remove(package / "bonafide-images-targets.cmake");
  expect(find("REQUIRED COMPONENTS images"), false, "BONAFIDE_OPENCV=OFF");
}
