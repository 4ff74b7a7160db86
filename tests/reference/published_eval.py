"""The published evaluation in PyTorch and OpenCV: a checkpoint and a protocol in, submission.txt out.

    published_eval.py CHECKPOINT PROTOCOL ROOT_DIR BOXES.csv OUTPUT [--backbone convnextv2_tiny] [--image-size 224]

Written from the published system's description, not from its code: decode (OpenCV), crop the box at margin 1.2 with the
corners truncated to whole pixels and clamped, bilinear resize without keeping the aspect, RGB / 255, ConvNeXt-V2 and a linear
classifier in float32, sigmoid. One line per entry of the protocol: the path as it stands there and P(attack) with five
decimals; no newline after the last. It also prints how far float32 is from float64: what no two programs can agree on.
"""
import argparse
import csv
import pathlib

import cv2
import numpy as np
import torch

import common

MARGIN = 1.2


def read_boxes(path):
    """Boxes by path. A row without four non-negative numbers and a positive size is no box."""
    boxes = {}
    with open(path, newline="") as f:
        for row in csv.DictReader(f):
            try:
                x1, y1, x2, y2 = (float(row[k]) for k in ("x1", "y1", "x2", "y2"))
            except (TypeError, ValueError):
                continue
            if min(x1, y1, x2, y2) >= 0 and x2 > x1 and y2 > y1:
                boxes[row["path"]] = (x1, y1, x2, y2)
    return boxes


def crop(image, box):
    if box is None:
        return image
    x1, y1, x2, y2 = box
    height, width = image.shape[:2]
    center_x, center_y = x1 + (x2 - x1) / 2, y1 + (y2 - y1) / 2
    half_x, half_y = MARGIN * (x2 - x1) / 2, MARGIN * (y2 - y1) / 2
    left, right = (min(max(int(v), 0), width) for v in (center_x - half_x, center_x + half_x))
    top, bottom = (min(max(int(v), 0), height) for v in (center_y - half_y, center_y + half_y))
    part = image[top:bottom, left:right]
    return part if part.size else image


def sample(path, box, size):
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, path
    rgb = cv2.cvtColor(crop(image, box), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(cv2.resize(rgb, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255).permute(2, 0, 1)


def main():
    parser = argparse.ArgumentParser()
    for name in ("checkpoint", "protocol", "root_dir", "boxes", "output"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--backbone", default="convnextv2_tiny")
    parser.add_argument("--image-size", type=int, default=224)
    o = parser.parse_args()

    model = common.PairedModel(o.backbone).eval()
    state = torch.load(o.checkpoint, map_location="cpu", weights_only=True)
    model.load_state_dict({n.removeprefix("module."): v for n, v in state.items()}, strict=True)

    boxes = read_boxes(o.boxes)
    names = [line.split()[0] for line in o.protocol.read_text().splitlines() if line.strip()]
    single, double = [], []
    with torch.inference_mode():
        for i in range(0, len(names), 32):
            x = torch.stack([sample(o.root_dir / n, boxes.get(n), o.image_size) for n in names[i:i + 32]])
            single += torch.sigmoid(model.float()(x)[1]).tolist()
            double += torch.sigmoid(model.double()(x.double())[1]).tolist()
    o.output.write_text("\n".join(f"{n} {score:.5f}" for n, score in zip(names, single)))
    print(f"{len(names)} scores, {min(single):.5f} to {max(single):.5f}; float32 is within "
          f"{max(abs(a - b) for a, b in zip(single, double)):.1e} of float64, "
          f"{sum(f'{a:.5f}' == f'{b:.5f}' for a, b in zip(single, double))} lines alike")


if __name__ == "__main__":
    main()
