"""Photographs a second through facenet-pytorch's MTCNN, the photographs decoded beforehand.

    facenet_detect.py FOLDER one|batch SECONDS      one: an image a call; batch: all of them (of one size) in calls of eight
Prints photographs a second and the number of faces.
"""
import pathlib
import sys
import time
import warnings

import numpy as np

warnings.simplefilter("ignore")
from facenet_pytorch import MTCNN  # noqa: E402
from PIL import Image  # noqa: E402

folder, how, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
photos = [np.asarray(Image.open(p).convert("RGB")) for p in sorted(pathlib.Path(folder).glob("*.png"))]
mtcnn = MTCNN(keep_all=True)
calls = [p for p in photos] if how == "one" else [np.stack(photos[i:i + 8]) for i in range(0, len(photos), 8)]


def faces(call):
    boxes, _ = mtcnn.detect(call)
    return sum(0 if b is None else len(b) for b in ([boxes] if how == "one" else boxes))


found = sum(faces(c) for c in calls)  # warm
begin, done, i = time.perf_counter(), 0, 0
while time.perf_counter() - begin < seconds or i < len(calls):
    mtcnn.detect(calls[i % len(calls)])
    done += 1 if how == "one" else len(calls[i % len(calls)])
    i += 1
print(done / (time.perf_counter() - begin), found)
