"""tests/fixtures/model_*.json: whole models, forward and every gradient, with weights from the formula.

The gradients come from float64 arithmetic: they are the truth, and the C++ engine is allowed float32's error.
"""
import sys

import torch

import formula
from common import (FOCAL_ALPHA, SUPCON_WEIGHT, focal_published, formula_batch, formula_model, rounded, supcon_published,
                    write_json)

CASES = {
    # name: backbone, height, width, labels
    "atto": ("convnextv2_atto", 64, 64, [1, 0, 1, 0]),
    "atto_odd": ("convnextv2_atto", 75, 106, [1, 0, 1, 0]),  # neither square nor a multiple of 32, 4 or 2
    "tiny": ("convnextv2_tiny", 64, 64, [1, 0, 1, 0]),
}
SAMPLES, BUCKETS = 8, 16
KINK_MARGIN = 2e-5  # float32 is off by 1e-6


def run(name, dtype):
    backbone, height, width, labels = CASES[name]
    model = formula_model(backbone, dtype)
    x = formula_batch(f"model.{name}", labels, height, width).to(dtype)
    y = torch.tensor(labels, dtype=dtype)
    hidden = []
    model.proj[0].register_forward_hook(lambda module, inputs, output: hidden.append(output.detach()))
    pooled, logits, features = model(x)
    # A ReLU whose input is 0 but for rounding has two right gradients: such a case tells nothing.
    margin = (hidden[0].abs().min() / hidden[0].abs().max()).item()
    if margin < KINK_MARGIN:
        raise SystemExit(f"{name}: a ReLU's input is {margin:.1g} of the largest one from its kink; choose another size")
    focal, supcon = focal_published(logits, y), supcon_published(features, y)
    loss = focal + SUPCON_WEIGHT * supcon
    loss.backward()
    return model, pooled, logits, features, focal, supcon, loss


def main():
    for name in sys.argv[1:] or CASES:
        backbone, height, width, labels = CASES[name]
        model, pooled, logits, features, focal, supcon, loss = run(name, torch.float64)
        gradients = {}
        for n, p in model.named_parameters():
            g = p.grad.flatten()
            gradients[n] = {"shape": list(p.shape), "norm": rounded(g.norm().item()), "sum": rounded(g.sum().item()),
                            "samples": rounded(g[formula.samples(n, SAMPLES, g.numel())]),
                            "sketch": rounded(formula.sketch(n, g.numpy(), BUCKETS))}
        # How far PyTorch's own float32 is from this: the tolerance that a float32 engine can be held to.
        single = run(name, torch.float32)[0]
        error = max(((q.grad.double() - p.grad).norm() / p.grad.norm()).item()
                    for p, q in zip(model.parameters(), single.parameters()))
        norms = [g["norm"] for g in gradients.values()]
        print(f"{name}: loss {loss.item():.6f} logits {rounded(logits, 4)} gradient norms {min(norms):.2g} to {max(norms):.2g}, "
              f"worst float32 error {error:.2g}")
        write_json(f"model_{name}.json", {
            "backbone": backbone, "height": height, "width": width, "labels": labels,
            "pooled": rounded(pooled), "logits": rounded(logits), "features": rounded(features),
            "focal": rounded(focal.item(), 10), "supcon": rounded(supcon.item(), 10), "loss": rounded(loss.item(), 10),
            "float32_gradient_error": rounded(error, 3),
            "gradients": gradients,
        })


if __name__ == "__main__":
    main()
