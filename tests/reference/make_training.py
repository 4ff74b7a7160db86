"""tests/fixtures/training_*: thirty steps of the paper's recipe on formula batches, as PyTorch takes them.

Eight pairs [attack, genuine, attack, genuine, ...] of 96 x 96 images a step, CutMix drawn here and recorded, published focal
and SupCon (labels after CutMix truncated), AdamW on every parameter, a schedule compressed to thirty steps. It runs in
float64 and in float32: the difference of the two is what float32 can be held to.

training_NAME.json has the losses, the rates, CutMix and the norms of change; training_NAME.safetensors has, for every
parameter, a count sketch (formula.sketch) of its change over the thirty steps, so that the C++ test can compare *all*
entries of the change within the sketch's sampling error.
"""
import sys
import time

import numpy as np
import safetensors.numpy
import torch

import formula
from common import (CUTMIX_ALPHA, CUTMIX_PROBABILITY, FIXTURES, MAX_LR, MIN_LR, SUPCON_WEIGHT, WARMUP, WEIGHT_DECAY, focal_published,
                    formula_batch, formula_model, learning_rate, rounded, supcon_published, write_json)

STEPS, PAIRS, SIZE = 30, 8, 96
# Tiny takes the first twelve of the thirty: from the fourteenth on PyTorch's float32 itself leaves the 1e-4 around float64
# (2e-4, later 1.5e-3), for at this rate tiny amplifies rounding errors. Atto stays within 2e-5 to the end.
TAKEN = {"atto": 30, "tiny": 12}
BUCKETS = 128


def draw_cutmix(rng):
    """As published: one rectangle and one permutation for the batch."""
    if rng.random() >= CUTMIX_PROBABILITY:
        return None
    partner = rng.permutation(2 * PAIRS)
    side = int(SIZE * np.sqrt(1 - rng.beta(CUTMIX_ALPHA, CUTMIX_ALPHA)))
    cx, cy = rng.integers(SIZE), rng.integers(SIZE)
    x1, x2 = np.clip([cx - side // 2, cx + side // 2], 0, SIZE)
    y1, y2 = np.clip([cy - side // 2, cy + side // 2], 0, SIZE)
    return {"x1": int(x1), "y1": int(y1), "x2": int(x2), "y2": int(y2), "partner": partner.tolist()}


def train(backbone, dtype, cutmix, taken):
    model = formula_model(backbone, dtype)
    start = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=MAX_LR, weight_decay=WEIGHT_DECAY)
    curve = {"total": [], "focal": [], "supcon": []}
    for step in range(taken):
        labels = [1, 0] * PAIRS
        x, y = formula_batch(f"train.{step}", labels, SIZE, SIZE).to(dtype), torch.tensor(labels, dtype=dtype)
        if box := cutmix[step]:
            partner, (x1, x2, y1, y2) = torch.tensor(box["partner"]), (box[k] for k in ("x1", "x2", "y1", "y2"))
            x[:, :, y1:y2, x1:x2] = x[partner][:, :, y1:y2, x1:x2]
            keep = 1 - (x2 - x1) * (y2 - y1) / SIZE**2
            y = keep * y + (1 - keep) * y[partner]
        optimizer.param_groups[0]["lr"] = learning_rate(step, STEPS, int(WARMUP * STEPS))
        _, logits, features = model(x)
        focal, supcon = focal_published(logits, y), supcon_published(features, y.long())
        total = focal + SUPCON_WEIGHT * supcon
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        for key, value in zip(curve, (total, focal, supcon)):
            curve[key].append(rounded(value.item(), 10))
    change = [(p.detach() - s).double().flatten().numpy() for p, s in zip(model.parameters(), start)]
    return model, curve, change


def main():
    for name in sys.argv[1:] or TAKEN:
        rng = np.random.default_rng(7)
        cutmix = [draw_cutmix(rng) for _ in range(STEPS)]
        began = time.time()
        model, double, change = train(f"convnextv2_{name}", torch.float64, cutmix, TAKEN[name])
        names = [n for n, _ in model.named_parameters()]
        _, single, single_change = train(f"convnextv2_{name}", torch.float32, cutmix, TAKEN[name])
        curve_error = max(abs(a - b) / abs(b) for a, b in zip(single["total"], double["total"]))
        norm = lambda vs: float(np.sqrt(sum((v**2).sum() for v in vs)))
        change_error = norm([a - b for a, b in zip(single_change, change)]) / norm(change)
        sketches = {n: formula.sketch(n, v, BUCKETS) for n, v in zip(names, change)}
        single_sketches = {n: formula.sketch(n, v, BUCKETS) for n, v in zip(names, single_change)}
        estimate = norm([single_sketches[n] - sketches[n] for n in names]) / norm(sketches.values())
        print(f"{name}: {time.time() - began:.0f} s; loss {double['total'][0]:.4f} -> {double['total'][-1]:.4f}; {sum(map(bool, cutmix))} CutMix steps; "
              f"float32 against float64: loss {curve_error:.2g}, change {change_error:.2g} (sketched {estimate:.2g})")
        print([round(v, 4) for v in double["total"]])
        path = FIXTURES / f"training_{name}.safetensors"
        safetensors.numpy.save_file({n: s.astype(np.float32) for n, s in sketches.items()}, path)
        assert path.stat().st_size < 2**20
        write_json(f"training_{name}.json", {
            "backbone": f"convnextv2_{name}", "steps": STEPS, "taken": TAKEN[name], "pairs": PAIRS, "size": SIZE, "buckets": BUCKETS,
            "max_lr": MAX_LR, "min_lr": MIN_LR, "warmup": int(WARMUP * STEPS), "weight_decay": WEIGHT_DECAY,
            "rates": [learning_rate(k, STEPS, int(WARMUP * STEPS)) for k in range(STEPS)],
            "cutmix": cutmix, "float64": double, "float32": single,
            "float32_loss_error": rounded(curve_error, 3), "float32_change_error": rounded(change_error, 3),
            "change_norm": rounded(norm(change)), "change_norms": {n: rounded(norm([v])) for n, v in zip(names, change)},
        })


if __name__ == "__main__":
    main()
