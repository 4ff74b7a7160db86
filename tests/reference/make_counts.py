"""tests/fixtures/counts.json: parameter and tensor counts of every size, and of the paper's model, as timm has them, and
the multiply-accumulates of one image as PyTorch's counter of matrix products and convolutions has them.

Checks them on the way against the published figures; nothing is allocated (meta device).
"""
import math

import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from common import PairedModel, write_json

PUBLISHED = {  # with 1000 classes
    "convnextv2_atto": 3_708_400, "convnextv2_femto": 5_233_240, "convnextv2_pico": 9_066_280, "convnextv2_nano": 15_623_800,
    "convnextv2_tiny": 28_635_496, "convnextv2_base": 88_717_800, "convnextv2_large": 197_956_840,
    "convnextv2_huge": 660_289_640,
}
SIZES = ["atto", "femto", "pico", "nano", "tiny", "small", "base", "large", "huge"]


def count(parameters):
    parameters = list(parameters)
    return {"parameters": sum(math.prod(p.shape) for p in parameters), "tensors": len(parameters)}


def macs(model, height, width):
    """The counter's operations are multiplications and additions: two an accumulate."""
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, height, width))
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


def main():
    data = {"backbone": {}, "with_1000_classes": {}, "paired": {}, "parts": {}, "shapes": {}, "macs": {}}
    with torch.device("meta"):
        for size in SIZES:
            name = f"convnextv2_{size}"
            full = timm.create_model(name, pretrained=False)
            data["with_1000_classes"][name] = count(full.parameters())
            assert data["with_1000_classes"][name]["parameters"] == PUBLISHED.get(name, data["with_1000_classes"][name]["parameters"])
            bare = timm.create_model(name, pretrained=False, num_classes=0)
            data["backbone"][name] = count(bare.parameters())
            paired = PairedModel(name)
            data["paired"][name] = count(paired.parameters())
            data["macs"][name] = {f"{h}x{w}": macs(paired, h, w) for h, w in ((224, 224), (112, 112), (75, 102))}
            assert list(bare.state_dict()) == [n for n, _ in bare.named_parameters()]  # no buffers
        for name in ("convnextv2_atto", "convnextv2_tiny"):  # a 1x1-convolution MLP and a linear one
            data["shapes"][name] = [[n, list(p.shape)] for n, p in PairedModel(name).named_parameters()]
        model = PairedModel("convnextv2_tiny")
        parts = {"stem": model.backbone.stem, "head.norm": model.backbone.head.norm, "cls": model.cls, "proj": model.proj}
        parts.update({f"stages.{i}": s for i, s in enumerate(model.backbone.stages)})
        data["parts"] = {n: count(m.parameters())["parameters"] for n, m in parts.items()}
    expected = {"stem": 4_896, "stages.0": 239_904, "stages.1": 996_288, "stages.2": 11_137_152, "stages.3": 15_486_720,
                "head.norm": 1_536, "cls": 769, "proj": 344_576}
    assert data["parts"] == expected, data["parts"]
    assert data["backbone"]["convnextv2_tiny"] == {"parameters": 27_866_496, "tensors": 198}
    assert data["paired"]["convnextv2_tiny"]["parameters"] == 28_211_841
    write_json("counts.json", data)


if __name__ == "__main__":
    main()
