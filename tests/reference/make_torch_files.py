"""tests/fixtures/torch/*.pt: what torch.save writes, in every format, and torch_files.json: the tensors that are in them.

Small files made of awkward things: every dtype, views that share a storage or run backwards through its axes, Parameters,
scalars, empty tensors, and beside the tensors objects of classes that a reader does not know.
"""
import argparse
import collections
import io
import sys
import types
import zipfile

import numpy as np
import timm.models.convnext
import torch

import common
import formula

FOLDER = common.FIXTURES / "torch"
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.int32, torch.int64,
          torch.uint8, torch.bool]


def dtypes():
    state = collections.OrderedDict()
    for dtype in DTYPES:
        v = formula.tensor(f"torch.{dtype}", (2, 3), 100)
        state[str(dtype).removeprefix("torch.")] = (v > 0) if dtype == torch.bool else v.abs().to(dtype) if dtype == torch.uint8 else v.to(dtype)
    return state


def views():
    base = formula.tensor("torch.base", (4, 6), dtype=torch.float32)
    cube = formula.tensor("torch.cube", (2, 3, 4, 5), dtype=torch.float16)
    return {
        "base": base,
        "transposed": base.t(),
        "column": base[:, 2],
        "block": base[1:3, 2:5],
        "every_other": base[::2, ::3],
        "same": base,
        "expanded": base[:1].expand(3, 6),
        "repeated": base[0, 0].expand(2, 2),
        "scalar": base[3, 5],
        "empty": base[:0],
        "none": torch.empty(0),
        "channels_last": cube.to(memory_format=torch.channels_last),
        "permuted": cube.permute(3, 0, 2, 1),
        "ones": cube[:, :1, 2:3, :].permute(1, 2, 0, 3),
        "parameter": torch.nn.Parameter(base[2].clone()),
        "buffer": torch.nn.Parameter(base[:, 1], requires_grad=False),
    }


class Unknown:
    """Pickled by reference: a reader that imported it would fail."""

    def __init__(self):
        self.secret = [1, 2, 3]

    def __reduce__(self):
        return (Unknown, (), {"state": torch.ones(1)})


def checkpoint(ema):
    """What a training script saves: the weights are one entry of many."""
    weights = {"w": formula.tensor("torch.w", (3, 2), dtype=torch.float32), "b": formula.tensor("torch.b", (3,), dtype=torch.float32),
               "_extra_state": None}
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.fill_(0.5), model.bias.fill_(0)
    model(torch.ones(1, 2)).sum().backward()
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.step()
    c = {"epoch": 7, "args": argparse.Namespace(lr=1e-4, layers=[1, (2, 3)], note="é"), "best": np.float64(0.25), "seen": {1, 2},
         "state_dict": {n: None if v is None else v + 1 for n, v in weights.items()} if ema else weights, "optimizer": optimizer.state_dict(),
         "random": torch.get_rng_state()[:4].clone() if ema else b"bytes", "object": Unknown(), "big": 2**70, "minus": -(2**40), "deep": [[[[]]]]}
    if ema:
        c["state_dict_ema"] = weights
    return c


def paired():
    """The published checkpoint's names in a network of a few thousand weights."""
    model = torch.nn.Module()
    model.backbone = timm.models.convnext.ConvNeXt(depths=(1, 1, 1, 1), dims=(4, 4, 8, 8), use_grn=True, ls_init_value=None, num_classes=0)
    model.cls = torch.nn.Linear(8, 1)
    model.proj = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 4))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(formula.parameter(name, tuple(p.shape)))
    return torch.nn.DataParallel(model).state_dict()


def rezipped(data, limit=None, **options):
    """The same archive written by Python's zipfile: deflated, or with every number in zip64 form."""
    out, old = io.BytesIO(), zipfile.ZIP64_LIMIT
    zipfile.ZIP64_LIMIT = old if limit is None else limit
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", **options) as target:
        for i in source.infolist():
            target.writestr(i.filename, source.read(i))
    zipfile.ZIP64_LIMIT = old
    return out.getvalue()


def saved(state, **options):
    b = io.BytesIO()
    torch.save(state, b, **options)
    return b.getvalue()


def main():
    Unknown.__module__ = "no.such.module"
    module = types.ModuleType("no.such.module")
    module.Unknown = Unknown
    sys.modules.update({"no": types.ModuleType("no"), "no.such": types.ModuleType("no.such"), "no.such.module": module})

    STREAM = {"_use_new_zipfile_serialization": False}
    files, described = {}, {}

    def add(name, state, data, container=""):
        """NAME_FORMAT.pt; what is in it is described once for all formats, under NAME."""
        files[name] = data
        tensors = state[container] if container else state
        described[name.split("_")[0]] = {
            n: {"shape": list(t.shape), "values": common.rounded(t.float(), 9)} for n, t in tensors.items() if t is not None}

    for name, state in {"dtypes": dtypes(), "views": views()}.items():
        add(f"{name}_zip.pt", state, saved(state))
        add(f"{name}_stream.pt", state, saved(state, **STREAM))
    state = views()
    add("views_protocol5.pt", state, saved(state, pickle_protocol=5))
    add("views_deflated.pt", state, rezipped(saved(state), compression=zipfile.ZIP_DEFLATED))
    add("views_zip64.pt", state, rezipped(saved(state), limit=0))
    torch.serialization.set_crc32_options(False)
    add("views_unchecked.pt", state, saved(state))
    torch.serialization.set_crc32_options(True)
    add("checkpoint_zip.pt", checkpoint(False), saved(checkpoint(False)), "state_dict")
    add("checkpoint_stream.pt", checkpoint(True), saved(checkpoint(True), **STREAM), "state_dict_ema")
    add("checkpoint_protocol4.pt", checkpoint(True), saved(checkpoint(True), pickle_protocol=4), "state_dict_ema")
    files["paired_stream.pt"] = saved(paired(), **STREAM)  # its values are the formula's
    files["module_zip.pt"] = saved(torch.nn.Linear(2, 1))

    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.pt"):
        old.unlink()
    for name, data in files.items():
        (FOLDER / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes")
    common.write_json("torch_files.json", described)


if __name__ == "__main__":
    main()
