// tests/e2e/test_options.cpp — configuration: files, overrides, origins, and what is said about every mistake.
#include "apps/common/options.h"

#include <nlohmann/json.hpp>
#include <set>

#include "apps/common/options_table.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

const std::string kConfigs = std::string(BF_SOURCE_DIR) + "/configs/";

TrainConfig with(std::vector<std::string> overrides) { return load_config({}, overrides).values; }

void refuses(const std::string& override_text, const std::string& part) {
  try {
    load_config({}, {override_text});
  } catch (const UsageError& e) {
    CHECK_MESSAGE(std::string(e.what()).find(part) != std::string::npos, e.what());
    return;
  }
  FAIL_CHECK("accepted: " << override_text);
}

void file_refused(const std::string& text, const std::string& part) {
  try {
    load_config_text(text, "my.json");
  } catch (const UsageError& e) {
    CHECK_MESSAGE(std::string(e.what()).find(part) != std::string::npos, e.what());
    return;
  }
  FAIL_CHECK("accepted: " << text);
}

}  // namespace

TEST_CASE("options: the built-in defaults are the paper's") {
  const TrainConfig c;
  CHECK(c.seed == 42);
  CHECK(c.model_input_size == 224);
  CHECK(c.model.model_name == "convnextv2_tiny");
  CHECK(c.model.pretrained == "true");
  CHECK(c.normalize.kind == "unit");
  CHECK(c.cutmix_prob == 0.3);
  CHECK(c.cutmix_alpha == 0.592);
  CHECK(c.cutmix_supcon_labels == "truncate");
  CHECK(c.loss.type == "binary_focal");
  CHECK(c.loss.alpha == 0.528);
  CHECK(c.loss.gamma == 0.73);
  CHECK(c.loss.supcon_weight == 0.306);
  CHECK(c.loss.supcon_temperature == 0.141);
  CHECK(c.loss.supcon_proj_dim == 128);
  CHECK(c.optimizer.weight_decay == 1.1e-5);
  CHECK(c.optimizer.beta1 == 0.9);
  CHECK(c.optimizer.beta2 == 0.999);
  CHECK(c.optimizer.eps == 1e-8);
  CHECK(c.scheduler.max_lr == 1.8e-4);
  CHECK(c.scheduler.min_lr == 6.8e-7);
  CHECK(c.scheduler.warmup_fraction == 0.05);
  CHECK(c.trainer.epochs == 20);
  CHECK(c.train_dataloader.batch_size == 32);
  CHECK(c.dataset.epoch_fraction == 0.5);
  CHECK(c.crop.train_margin_min == 1.1);
  CHECK(c.crop.train_margin_max == 1.3);
  CHECK(c.crop.eval_margin == 1.2);
}

TEST_CASE("options: configs/default.json says every key, and says what is built in") {
  const LoadedConfig file = load_config({kConfigs + "default.json"}, {});
  CHECK(changed_values(TrainConfig{}, file.values) == std::vector<std::string>{});
  CHECK(file.warnings.empty());
  for (const auto& [key, origin] : file.origin) CHECK_MESSAGE(origin.starts_with(kConfigs + "default.json:"), key);
}

TEST_CASE("options: configs/recommended.json differs from the paper in what the design says") {
  const LoadedConfig file = load_config({kConfigs + "recommended.json"}, {});
  CHECK(changed_values(TrainConfig{}, file.values) ==
        std::vector<std::string>{
            "normalize: \"unit\" -> \"weights\"", "model.drop_path: 0.0 -> 0.1",
            "pairs.unmatched_attacks: \"drop\" -> \"class_partner\"", "augment.apply_flip_to: \"genuine\" -> \"both\"",
            "augment.color_order: \"bgr\" -> \"rgb\"", "cutmix_supcon_labels: \"truncate\" -> \"soft\"",
            "loss.focal_form: \"detached_one_sided\" -> \"canonical\"",
            "loss.supcon_form: \"log_outside\" -> \"l_out\"", "optimizer.decay_norm_and_bias: true -> false",
            "trainer.ema: 0.0 -> 0.9998", "select.metric: \"val.eer\" -> \"val.worst_apcer@bpcer5\"",
            "select.ties: \"later\" -> \"earlier\""});
}

TEST_CASE("options: the command line beats the later file, which beats the earlier one; origins are kept") {
  TempFolder dir;
  const std::string a =
      dir.file("a.json", "{\n  // a comment\n  \"trainer\": {\"epochs\": 5,\n \"keep\": 7},\n \"seed\": 1\n}\n");
  const std::string b = dir.file("b.json", "{\"trainer.epochs\": 6}");
  const LoadedConfig c = load_config({a, b}, {"seed=2", "seed=3"});
  CHECK(c.values.trainer.epochs == 6);
  CHECK(c.values.trainer.keep == 7);
  CHECK(c.values.seed == 3);
  CHECK(c.origin.at("trainer.epochs") == b + ":1");
  CHECK(c.origin.at("trainer.keep") == a + ":4");
  CHECK(c.origin.at("seed") == "command line");
  CHECK(c.origin.at("device") == "default");
  const std::string text = print_config(c);
  CHECK(text.find("seed = 3 ") != std::string::npos);
  CHECK(text.find("# command line\n") != std::string::npos);
  CHECK(text.find("# " + a + ":4\n") != std::string::npos);
  CHECK(nlohmann::json::parse(config_origin_json(c)).at("seed") == "command line");
}

TEST_CASE("options: every key is set by its row, printed, and read back the same") {
  // Another value for every key, made from the table itself: a row bound to its neighbour's field is found here.
  TrainConfig defaults;
  std::set<std::string> keys;
  for (const Option& o : option_table(defaults)) {
    CHECK_MESSAGE(keys.insert(o.key).second, o.key);
    CHECK_MESSAGE(!o.help.empty(), o.key);
    const std::string was = [&] {
      const std::string text = print_config(load_config({}, {}));
      const auto at = text.find(o.key + " = ") + o.key.size() + 3;
      return text.substr(at, text.find("  #", at) - at);
    }();
    std::string other;
    if (std::holds_alternative<bool*>(o.field))
      other = was.starts_with("true") ? "false" : "true";
    else if (std::holds_alternative<std::vector<std::int64_t>*>(o.field))
      other = "[7,8,9,10]";
    else if (std::holds_alternative<Normalization*>(o.field))
      other = R"({"mean":[0.1,0.2,0.3],"std":[0.4,0.5,0.6]})";
    else if (std::holds_alternative<std::vector<SpeciesWeight>*>(o.field))
      other = R"({"replay":2.0,"print":0.5})";
    else if (auto d = std::get_if<double*>(&o.field))
      other = **d == 0.625 ? "0.5" : o.key.starts_with("crop") ? "1.125" : "0.625";
    else if (auto i = std::get_if<std::int64_t*>(&o.field))
      other = std::to_string(o.key.ends_with("_min") ? **i - 1 : **i + 1);
    else if (!o.allowed.choices.empty())
      other = o.allowed.choices[was.find(o.allowed.choices[0]) == 1 ? 1 : 0];
    else
      other = "somewhere";
    if (o.key == "crop.train_margin_max") other = "1.5";
    if (o.key == "scheduler.min_lr") other = "1e-05";
    if (o.key == "loss.type") other = "BCE";  // focal brings other defaults along
    std::vector<std::string> set = {o.key + "=" + other};
    if (o.key == "paths.val_bbox_csv") set.push_back("paths.val_protocol=p.txt");
    const LoadedConfig c = load_config({}, set);
    const auto changes = changed_values(TrainConfig{}, c.values);
    REQUIRE_MESSAGE(changes.size() == set.size(), o.key);
    const bool quoted = std::holds_alternative<std::string*>(o.field);
    CHECK(changes.back().starts_with(o.key + ": "));
    CHECK(changes.back().ends_with(quoted ? " -> \"" + other + "\"" : " -> " + other));
    CHECK(changed_values(c.values, load_config_text(config_json(c.values), "config.json").values).empty());
    CHECK_MESSAGE(option_help().find("  " + o.key + " = ") != std::string::npos, o.key);
  }
}

TEST_CASE("options: the ways to write a value on the command line") {
  CHECK(with({"model.pretrained=false"}).model.pretrained == "false");
  CHECK(with({"model.pretrained=a/b.safetensors"}).model.pretrained == "a/b.safetensors");
  CHECK(with({"model.dims=40,80,160,320"}).model.dims == std::vector<std::int64_t>{40, 80, 160, 320});
  CHECK(with({"model.dims=[40, 80, 160, 320]"}).model.dims == std::vector<std::int64_t>{40, 80, 160, 320});
  CHECK(with({"simulate.species=print,replay"}).simulate.species ==
        std::vector<SpeciesWeight>{{"print", 1}, {"replay", 1}});
  CHECK(with({"simulate.species=replay:2,print:0.5"}).simulate.species ==
        std::vector<SpeciesWeight>{{"replay", 2}, {"print", 0.5}});
  CHECK(with({"simulate.species=[\"print\"]"}).simulate.species == std::vector<SpeciesWeight>{{"print", 1}});
  CHECK(with({"normalize=weights"}).normalize.kind == "weights");
  CHECK(with({"normalize={\"mean\":[0.5,0.5,0.5],\"std\":[0.5,0.5,0.25]}"}).normalize.std[2] == 0.25);
  CHECK(with({"optimizer.type=AdamW"}).optimizer.type == "adamw");
  CHECK(with({"loss.type=bce"}).loss.type == "BCE");
  CHECK(with({"scheduler.max_lr=1e-3"}).scheduler.max_lr == 1e-3);
  CHECK(with({"simulate.cache_bytes=1e9"}).simulate.cache_bytes == 1'000'000'000);
  CHECK(with({"paths.root_dir=/data/a=b, \"c\""}).paths.root_dir == "/data/a=b, \"c\"");
  CHECK(with({"paths.root_dir=7"}).paths.root_dir == "7");
  CHECK(with({"paths.root_dir="}).paths.root_dir.empty());
}

TEST_CASE("options: canonical focal brings its own alpha and gamma unless they are set") {
  const LoadedConfig c = load_config({}, {"loss.type=focal", "loss.gamma=3"});
  CHECK(c.values.loss.alpha == 0.25);
  CHECK(c.values.loss.gamma == 3);
  CHECK(c.origin.at("loss.alpha") == "default of loss.type = focal");
}

TEST_CASE("options: mistakes on the command line are named, with the nearest key") {
  refuses("trainer.epoch=3", "command line: unknown key trainer.epoch; did you mean trainer.epochs?");
  refuses("epochs=3", "did you mean trainer.epochs?");
  refuses("optimiser.weight_decay=0", "did you mean optimizer.weight_decay?");
  refuses("loss.supcon_temprature=1", "did you mean loss.supcon_temperature?");
  refuses("xyzzyxyzzy=3", "command line: unknown key xyzzyxyzzy");
  refuses("trainer=3", "trainer is a section");
  refuses("--epochs", "expected key=value, got '--epochs'");
  refuses("=3", "expected key=value");
  refuses("trainer.epochs=many", "trainer.epochs = many: expected an integer of at least 1");
  refuses("trainer.epochs=1.5", "expected an integer of at least 1");
  refuses("trainer.epochs=0", "expected an integer of at least 1");
  refuses("trainer.epochs=", "expected an integer of at least 1");
  refuses("seed=99999999999999999999", "expected an integer of at least 0");
  refuses("cutmix_prob=1.01", "cutmix_prob = 1.01: expected a number from 0 to 1");
  refuses("cutmix_prob=nan", "expected a number from 0 to 1");
  refuses("cutmix_alpha=0", "expected a number above 0");
  refuses("dataset.epoch_fraction=0", "expected a number above 0, at most 1");
  refuses("loss.contrastive=1", "expected true or false");
  refuses("device=gpu", "device = gpu: expected one of auto, cpu, cuda");
  refuses("normalize=imagenet", "expected unit, weights, or");
  refuses("normalize={\"mean\":[0,0,0],\"std\":[1,1,0]}", "with std above 0");
  refuses("normalize={\"mean\":[0,0,0]}", "expected unit, weights, or");
  refuses("simulate.species=print:0", "expected a list of species, or {species: weight above 0}");
  refuses("simulate.species=print:x", "expected a list of species");
  refuses("simulate.species=print,1_0_0", "names '1_0_0' twice");
  refuses("simulate.species=print,prnit", "names 'prnit', which is no attack");
  refuses("simulate.species=genuine", "names 'genuine', which is no attack");
  refuses("model.pretrained=", "expected a text, true or false");
  refuses("model.dims=1,2,3", "model.dims has 3 entries; expected four, or none");
  refuses("model.dims=1,2,x,4", "expected a list of integers");
  refuses("model.dims=1,2,0,4", "expected a list of integers");
  refuses("crop.train_margin_min=1.4", "crop.train_margin_min (1.4) is larger than crop.train_margin_max (1.3)");
  refuses("augment.jpeg_quality_max=10", "augment.jpeg_quality_min (40) is larger than augment.jpeg_quality_max (10)");
  refuses("scheduler.min_lr=1", "is larger than scheduler.max_lr");
  refuses("paths.val_bbox_csv=b.csv", "is set without paths.val_protocol");
  CHECK_THROWS_AS(with({"paths.train_csv=a", "paths.train_manifest=b"}), UsageError);
  CHECK_THROWS_AS(with({"paths.val_manifest=a", "paths.val_protocol=b"}), UsageError);
  CHECK_THROWS_AS(with({"simulate.enabled=true", "simulate.species=[]"}), UsageError);
}

TEST_CASE("options: mistakes in a file are named by file and line") {
  file_refused("{\n\"seed\": 1,\n\"trainr\": {\"epochs\": 3}\n}",
               "my.json:3: unknown key trainr.epochs; did you mean trainer.epochs?");
  file_refused("{\n\"trainer\": {\n\n\"epochs\": \"3\"}}",
               "my.json:4: trainer.epochs = \"3\": expected an integer of at least 1");
  file_refused("{\"trainer\": 3}", "my.json:1: trainer is a section; expected { \"epochs\": … }");
  file_refused("{\"seed\": 1,\n\"trainer\": {\"keep\": 1},\n\"seed\": 2}",
               "my.json:3: seed is given twice (first in line 1)");
  file_refused("{\"trainer.keep\": 1,\n\"trainer\": {\"keep\": 1}}",
               "my.json:2: trainer.keep is given twice (first in line 1)");
  file_refused("{\"seed\": {\"a\": 1}}", "my.json:1: seed = {\"a\":1}: expected an integer");
  file_refused("{\"seed\"\n:\n-1}", "my.json:1: seed = -1");
  file_refused("{\"seed\": 1,\n}", "my.json:2: not valid JSON: parse error");
  file_refused("{\"seed\": 1", "my.json:1: not valid JSON");
  file_refused("", "my.json:1: not valid JSON");
  file_refused("[1]", "my.json: expected an object");
  file_refused("{\"seed\": 1e999}", "not valid JSON");
  file_refused("{\"a\":" + std::string(100000, '['), "nested too deeply");
  file_refused("{\"seed\": 0.5}", "seed = 0.5: expected an integer");
  file_refused("{\"crop\": {\n\"eval_margin\": -1}}", "my.json:2: crop.eval_margin = -1: expected a number above 0");
  file_refused("{\"crop\": {\n\"train_margin_min\": 2}}", "my.json:2: crop.train_margin_min (2) is larger than");
  expect_throw("configuration: ", [] { load_config({"/nowhere/at-all.json"}, {}); });
  expect_throw("/nowhere/at-all.json", [] { load_config({"/nowhere/at-all.json"}, {}); });
  CHECK(
      load_config_text("{\"paths\": {\"train_csv\": null}, \"model\": {}}", "my.json").values.paths.train_csv.empty());
}

TEST_CASE("options: the published configuration is read; what has no effect here is said in one line") {
  const LoadedConfig published = load_config_text(R"({
    "train_multihead": false,
    "paths": {"train_csv": "t.csv", "train_protocol": "", "val_protocol": "v.txt", "root_dir": "d", "val_bbox_csv": "b.csv"},
    "device": "cuda", "model_input_size": 224,
    "model": {"model_name": "convnextv2_tiny", "pretrained": true, "in_chans": 3, "num_classes": 1},
    "cutmix_prob": 0.3, "cutmix_alpha": 0.592,
    "dataset": {"oversample_live": false, "val_max_per_subclass": 300, "val_seed": 42, "epoch_fraction": 0.5},
    "train_dataloader": {"batch_size": 32, "shuffle": true, "num_workers": 16, "drop_last": true, "pin_memory": true, "prefetch_factor": 5},
    "val_dataloader": {"batch_size": 32, "shuffle": false, "num_workers": 16, "drop_last": false},
    "trainer": {"type": "any", "epochs": 20, "weights_save_folder": "weights"},
    "loss": {"type": "binary_focal", "alpha": 0.528, "gamma": 0.73, "contrastive": true, "supcon_weight": 0.306,
             "supcon_temperature": 0.141, "supcon_proj_dim": 128},
    "optimizer": {"type": "AdamW", "lr": 1e-4, "weight_decay": 1.1e-5},
    "scheduler": {"type": "cosine", "cycle_mult": 1.0, "max_lr": 1.8e-4, "min_lr": 6.8e-7, "warmup_steps": 0, "gamma": 1.0},
    "wandb": {"use": false, "project_name": "p", "experiment_name": "e", "anything": [1]}
  })",
                                                  "published.json");
  CHECK(published.warnings == std::vector<std::string>{});
  CHECK(published.values.train_dataloader.num_workers == 16);

  const LoadedConfig c =
      load_config_text("{\"wandb\": {\n\"use\": true}}", "my.json",
                       {"dataset.oversample_live=true", "dataset.val_max_per_subclass=10", "model.in_chans=1",
                        "paths.train_protocol=p.txt", "train_dataloader.shuffle=false", "scheduler.warmup_steps=100",
                        "optimizer.lr=0.01", "train_dataloader.pin_memory=false"});
  REQUIRE(c.warnings.size() == 8);
  CHECK(c.warnings[0] == "my.json:2: wandb.use = true has no effect: metrics are files of the run folder");
  CHECK(c.warnings[7] == "command line: optimizer.lr = 0.01 has no effect: the rate is scheduler.max_lr");
}
