"""What facenet-pytorch finds in photographs: boxes, scores and landmarks of every face, and the largest face cut out.

    facenet_side.py FOLDER      reads FOLDER/*.png; writes FOLDER/faces.txt and, for each photograph with a face, NAME.cut
    facenet_side.py --weights   prints the folder of the package's weights
"""
import pathlib
import sys
import warnings

import numpy as np
import torch

warnings.simplefilter("ignore")
import facenet_pytorch  # noqa: E402
from facenet_pytorch import MTCNN, extract_face  # noqa: E402
from PIL import Image  # noqa: E402

if sys.argv[1] == "--weights":
    print(pathlib.Path(facenet_pytorch.__file__).parent / "data")
    sys.exit()
folder = pathlib.Path(sys.argv[1])
torch.set_num_threads(2)
mtcnn = MTCNN(keep_all=True)
with open(folder / "faces.txt", "w") as out:
    for path in sorted(folder.glob("*.png")):
        image = Image.open(path).convert("RGB")
        boxes, scores, points = mtcnn.detect(image, landmarks=True)
        boxes = [] if boxes is None else boxes
        for box, score, point in zip(boxes, scores, points if len(boxes) else []):
            numbers = [score, *box, *point.ravel()]
            print(path.stem, *(f"{float(v):.9g}" for v in numbers), file=out)
        if len(boxes):
            face = extract_face(image, boxes[0], 160, 0)  # [3, 160, 160], 0 to 255
            (folder / f"{path.stem}.cut").write_bytes(face.permute(1, 2, 0).numpy().astype(np.uint8).tobytes())
