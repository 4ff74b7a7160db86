"""Writes what a user of the published system has: 50 photographs, a protocol, face boxes, and a checkpoint in three forms.

    published_side.py FOLDER BACKBONE
"""
import csv
import pathlib
import sys

import cv2
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "reference"))
import common  # noqa: E402
import formula  # noqa: E402

N = 50


def main(folder, backbone):
    folder = pathlib.Path(folder)
    (folder / "Data-val").mkdir()
    lines, rows = [], []
    for i in range(N):
        height, width = 90 + 37 * i % 311, 101 + 53 * i % 389
        label = i % 3 % 2
        name = f"Data-val/{i:05d}.{'jpg' if i % 2 else 'png'}"
        image = formula.image(f"published.{i}", label, height, width)
        image = cv2.GaussianBlur(image, (0, 0), 0.5 + i % 5 / 2)  # from noise to something as smooth as a photograph
        assert cv2.imwrite(str(folder / name), image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50 + i] if i % 2 else [])
        lines.append(f"{name} {'1_0_2' if label else '0_0_0'}" if i % 4 else name)  # some unlabelled
        if i % 7 == 3:
            box = (-1, -1, -1, -1)
        else:
            x1, y1 = width * (i % 5) // 10, height * (i % 4) // 9
            # Round sizes: 1.2 times them lies on whole pixels. Some reach beyond the photograph.
            box = (x1, y1, x1 + width // 20 * 10, y1 + (height // 20 * 10 if i % 6 else height))
        if i % 11 != 5:  # some are in no list
            rows.append((name, "1_0_2" if label else "0_0_0", label, *box))
    (folder / "protocol.txt").write_text("\n".join(lines) + "\n")
    with open(folder / "boxes.csv", "w", newline="") as f:
        csv.writer(f).writerows([("path", "label_original", "label", "x1", "y1", "x2", "y2"), *rows])
    model = common.formula_model(backbone)
    torch.save(model.state_dict(), folder / "zip.pth")
    torch.save(model.state_dict(), folder / "stream.pth", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.DataParallel(model).state_dict(), folder / "module.pth")


if __name__ == "__main__":
    main(*sys.argv[1:])
