"""The Python half of tests/interop/test_torch.cpp.

    torch_side.py read  MODEL.safetensors BACKBONE RESULT.json   loads our file into PyTorch, strictly, and runs it
    torch_side.py write KIND BACKBONE OUT.safetensors            writes what users of timm and PyTorch have

KIND: timm (a whole timm classifier, 1000 classes), paired (the published checkpoint as DataParallel saves it: `module.`), or
paired_bf16 (the same in bfloat16).
"""
import json
import pathlib
import sys

import safetensors
import safetensors.torch
import timm
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "reference"))
import common  # noqa: E402
import formula  # noqa: E402


def read(path, backbone, result):
    state = safetensors.torch.load_file(path)
    model = common.PairedModel(backbone)
    model.load_state_dict(state, strict=True)
    wrong = [n for n, p in model.named_parameters() if not torch.equal(p, formula.parameter(n, tuple(p.shape)))]
    assert not wrong, f"values differ: {wrong}"
    bare = timm.create_model(backbone, pretrained=False, num_classes=0)  # the backbone alone, as a timm user loads it
    bare.load_state_dict({n.removeprefix("backbone."): v for n, v in state.items() if n.startswith("backbone.")}, strict=True)
    with safetensors.safe_open(path, "pt") as f:
        metadata = f.metadata()
    with torch.no_grad():
        _, logits, features = model(common.formula_batch("interop", [1, 0], 64, 64))
    pathlib.Path(result).write_text(json.dumps({"metadata": metadata, "tensors": len(state), "logits": logits.tolist(),
                                                "features": features.flatten().tolist()}))


def write(kind, backbone, path):
    if kind == "timm":
        model, prefix = timm.create_model(backbone, pretrained=False), "backbone."
    else:
        model, prefix = common.PairedModel(backbone), ""
    state = {n: formula.parameter(prefix + n, tuple(p.shape)) for n, p in model.named_parameters()}
    model.load_state_dict(state, strict=True)
    if kind == "paired_bf16":
        model = model.bfloat16()
    if kind != "timm":
        model = torch.nn.DataParallel(model)
    safetensors.torch.save_file(model.state_dict(), path)


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])
