"""tests/fixtures/formula.json: a few values of every function in formula.py, so that the C++ half cannot drift."""
import numpy as np

import formula
from common import write_json


def exact(a):
    return [float(v) for v in np.ravel(a)]  # repr of a float64 reads back as the same number


def main():
    names = ["x", "backbone.stem.0.weight", "Ünïcode name"]
    parameters = {
        "backbone.stages.1.downsample.1.weight": (7, 5, 2, 2),
        "backbone.stages.0.blocks.0.conv_dw.weight": (3, 1, 7, 7),
        "backbone.stages.0.blocks.0.norm.weight": (11,),
        "backbone.stages.0.blocks.0.mlp.grn.weight": (11,),
        "backbone.stages.0.blocks.0.mlp.grn.bias": (11,),
        "proj.0.bias": (11,),
        "cls.weight": (1, 11),
        "backbone.stages.3.blocks.1.mlp.fc2.weight": (5, 7, 1, 1),
    }
    v = formula.values("sketched", 1000)
    write_json("formula.json", {
        "bits": {n: formula.bits(n, 1001)[[0, 1, 2, 500, 1000]].tolist() for n in names},
        "numbers": exact(formula.numbers("y", 9, 0.3, 300)),
        "parameters": {n: {"shape": s, "last": exact(formula.parameter(n, s).flatten()[-5:].double())} for n, s in parameters.items()},
        "samples": formula.samples("cls.weight", 9, 320).tolist(),
        "images": {str(label): {"first": formula.image("img", label, 70, 65)[0, :5].ravel().tolist(),
                                "sum": int(formula.image("img", label, 70, 65).sum()),
                                "weighted": int((formula.image("img", label, 70, 65).ravel().astype(np.int64) * (np.arange(70 * 65 * 3) % 97)).sum())}
                   for label in (0, 1)},
        "sketch": exact(formula.sketch("sketched", v, 7)),
    })


if __name__ == "__main__":
    main()
