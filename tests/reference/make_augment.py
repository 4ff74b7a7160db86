"""tests/fixtures/augment.*: albumentations' operations with recorded parameters, alone and as the published pipeline.

Needs albumentations 1.3.1 (with numpy below 2 and opencv-python-headless below 4.9), and not PyTorch: an environment of its own.
Images are formula.image blurred to the smoothness of a photograph; like the published code it hands them over as BGR. What is
stored is RGB.
"""
import json
import pathlib
import random
import sys
import types

import albumentations as A
import cv2
import numpy as np
import safetensors.numpy

sys.modules.setdefault("torch", types.SimpleNamespace(float32=None, float64=None))  # formula.py makes tensors; not here
import formula  # noqa: E402

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
SIZES = [(33, 47), (48, 40), (64, 64), (51, 70)]
OUT = (56, 48)  # height, width


def single(x):
    """The float32 nearest to x: both programs get the same number."""
    return float(np.float32(x))


def parameters(r, flip, tone, hue, jpeg):
    """One draw of the published ranges, every operation on or off."""
    p = {"flip": flip}
    if tone:
        p.update(alpha=single(1 + r.uniform(-0.1, 0.1)), beta=single(r.uniform(-0.1, 0.1)))
    if hue:
        p.update(hue=single(r.uniform(-10, 10)), saturation=single(r.uniform(-10, 10)), value=single(r.uniform(-10, 10)))
    if jpeg:
        p.update(quality=r.randint(40, 60))
    return p


def augmented(image, p):
    """The published order, each operation with the given parameters instead of its own draw."""
    if p["flip"]:
        image = A.HorizontalFlip(p=1).apply(image)
    if "alpha" in p:
        image = A.RandomBrightnessContrast(0.1, 0.1, p=1).apply(image, alpha=p["alpha"], beta=p["beta"])
    if "hue" in p:
        image = A.HueSaturationValue(10, 10, 10, p=1).apply(image, hue_shift=p["hue"], sat_shift=p["saturation"], val_shift=p["value"])
    if "quality" in p:
        image = A.ImageCompression(40, 60, p=1).apply(image, quality=p["quality"])
    return image


def main():
    assert A.__version__ == "1.3.1", A.__version__
    r = random.Random(42)
    cases, arrays = [], {}
    for i, (height, width) in enumerate(SIZES):
        rgb = cv2.GaussianBlur(formula.image(f"augment.{i}", i % 2, height, width), (0, 0), 1.0)
        arrays[f"image{i}"] = np.ascontiguousarray(rgb)
        bgr = np.ascontiguousarray(rgb[:, :, ::-1])
        for kind, switches in {"flip": [1, 0, 0, 0], "tone": [0, 1, 0, 0], "hue": [0, 0, 1, 0], "jpeg": [0, 0, 0, 1], "but_hue": [1, 1, 0, 1], "all": [1, 1, 1, 1]}.items():
            for repeat in range(1 if kind == "flip" else 2):
                p = parameters(r, *map(bool, switches))
                name = f"{kind}{i}{repeat}"
                cases.append({"image": f"image{i}", "kind": kind, "result": name, **p})
                arrays[name] = np.ascontiguousarray(augmented(bgr, p)[:, :, ::-1])
                if repeat and kind in ("but_hue", "all"):  # the end of the pipeline: to RGB, then the bilinear resize
                    end = {"image": f"image{i}", "kind": f"pipeline_{kind}", "result": f"pipeline_{kind}{i}", **p}
                    arrays[end["result"]] = A.Resize(*OUT, p=1).apply(arrays[name], interpolation=cv2.INTER_LINEAR)
                    cases.append(end)
        arrays[f"resize{i}"] = A.Resize(*OUT, p=1).apply(arrays[f"image{i}"], interpolation=cv2.INTER_LINEAR)
        cases.append({"image": f"image{i}", "kind": "resize", "result": f"resize{i}", "flip": False})
    safetensors.numpy.save_file(arrays, FIXTURES / "augment.safetensors")
    (FIXTURES / "augment.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(f"{len(cases)} cases; albumentations {A.__version__}, OpenCV {cv2.__version__}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
