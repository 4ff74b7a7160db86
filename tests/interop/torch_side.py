"""The Python half of tests/interop/test_torch.cpp.

    torch_side.py read  MODEL.safetensors BACKBONE RESULT.json   loads our file into PyTorch, strictly, and runs it
    torch_side.py write KIND BACKBONE OUT.safetensors            writes what users of timm and PyTorch have
    torch_side.py save FORMAT BACKBONE OUT.pth                   the same with torch.save

KIND: timm (a whole timm classifier, 1000 classes), paired (the published checkpoint as DataParallel saves it: `module.`), or
paired_bf16 (the same in bfloat16). FORMAT: of a timm classifier's state dict: zip, stream (before PyTorch 1.6), protocol4, a
dtype, model_ema (a checkpoint of timm's training script) or facebook (facebookresearch's names, in its {"model": …}).
"""
import argparse
import json
import pathlib
import re
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


def facebook_name(name):
    """The names of facebookresearch/ConvNeXt-V2, of which timm's were made."""
    if name.startswith("stem."):
        return "downsample_layers.0." + name.removeprefix("stem.")
    name = re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)
    name = re.sub(r"(stages\.\d)\.blocks", r"\1", name)
    for new, old in (("conv_dw", "dwconv"), ("mlp.fc1", "pwconv1"), ("mlp.fc2", "pwconv2"), ("mlp.grn.weight", "grn.gamma"),
                     ("mlp.grn.bias", "grn.beta"), ("head.norm", "norm"), ("head.fc", "head")):
        name = name.replace(new, old)
    return name


def save(form, backbone, path):
    model = timm.create_model(backbone, pretrained=False)
    state = {n: formula.parameter("backbone." + n, tuple(p.shape)) for n, p in model.named_parameters()}
    model.load_state_dict(state, strict=True)
    if form in ("double", "half", "bfloat16"):
        model = getattr(model, form)()
    saved = model.state_dict()
    if form == "model_ema":
        wrong = {n: v + 1 for n, v in saved.items()}
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.zeros(1, 3, 32, 32)).sum().backward()
        before = {n: v.clone() for n, v in saved.items()}
        optimizer.step()
        saved = {"epoch": 3, "arch": backbone, "state_dict": wrong, "state_dict_ema": before, "optimizer": optimizer.state_dict(),
                 "args": argparse.Namespace(lr=1e-4, model=backbone), "metric": 81.5, "version": 2}
    elif form == "facebook":
        saved = {"model": {facebook_name(n): v.reshape(1, 1, 1, -1) if ".grn." in n else v.flatten(1) if ".mlp.fc" in n and v.dim() == 4
                           else v for n, v in saved.items()}}
    torch.save(saved, path, _use_new_zipfile_serialization=form != "stream", pickle_protocol=4 if form == "protocol4" else 2)


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
    {"read": read, "write": write, "save": save}[sys.argv[1]](*sys.argv[2:])
