"""What the reference scripts share: where fixtures go, how numbers are written, the paper's model and losses in PyTorch.

The losses are written from their published formulas in plain tensor operations; gradients come from autograd.
"""
import json
import math
import os
import pathlib

import numpy as np
import timm
import torch
import torch.nn.functional as F

import formula

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
torch.use_deterministic_algorithms(True)
FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"

# The paper's constants.
FOCAL_ALPHA, FOCAL_GAMMA = 0.528, 0.73
SUPCON_WEIGHT, SUPCON_TEMPERATURE = 0.306, 0.141
MAX_LR, MIN_LR, WEIGHT_DECAY, WARMUP = 1.8e-4, 6.8e-7, 1.1e-5, 0.05
CUTMIX_PROBABILITY, CUTMIX_ALPHA = 0.3, 0.592


def rounded(x, digits=8):
    """Numbers for JSON, `digits` significant digits: a float carries 7.2."""
    if isinstance(x, torch.Tensor):
        x = x.detach().double().numpy()
    if isinstance(x, np.ndarray):
        x = x.ravel().tolist()
    if isinstance(x, (list, tuple)):
        return [rounded(v, digits) for v in x]
    return float(f"{x:.{digits}g}")


def write_json(name, data):
    """One line per second-level entry: small, and readable in a diff."""
    path = FIXTURES / name
    path.parent.mkdir(exist_ok=True)

    def compact(v):
        return json.dumps(v, separators=(",", ":"))

    lines = []
    for key, value in data.items():
        if isinstance(value, dict) and len(compact(value)) > 200:
            inner = ",\n".join(f"  {json.dumps(k)}: {compact(v)}" for k, v in value.items())
            lines.append(f"{json.dumps(key)}: {{\n{inner}\n}}")
        else:
            lines.append(f"{json.dumps(key)}: {compact(value)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    size = path.stat().st_size
    assert size < 2**20, f"{path} has {size} bytes: fixtures stay under 1 MiB"
    print(f"{path.name}: {size} bytes")


# ---- model


class PairedModel(torch.nn.Module):
    """A timm backbone with the paper's two heads: a logit, and a unit vector for SupCon."""

    def __init__(self, backbone, width=128):
        super().__init__()
        self.backbone = timm.create_model(backbone, pretrained=False, num_classes=0, global_pool="avg")
        features = self.backbone.num_features
        self.cls = torch.nn.Linear(features, 1)
        hidden = features // 2
        self.proj = torch.nn.Sequential(torch.nn.Linear(features, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, width))

    def forward(self, x):
        pooled = self.backbone(x)
        return pooled, self.cls(pooled)[:, 0], F.normalize(self.proj(pooled), dim=1)


def formula_model(backbone, dtype=torch.float32):
    model = PairedModel(backbone)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(formula.parameter(name, tuple(p.shape)))
    return model.to(dtype)


def formula_batch(name, labels, height, width):
    """float32 [n, 3, height, width] in [0, 1]: image i is formula.image(f"{name}.{i}", labels[i])."""
    images = np.stack([formula.image(f"{name}.{i}", label, height, width) for i, label in enumerate(labels)])
    return torch.from_numpy(images.astype(np.float32) / np.float32(255)).permute(0, 3, 1, 2)


# ---- losses


def bce_smoothed(z, y, smoothing=0.1):
    """Targets y become (1 - s) y + s (1 - y)."""
    return F.binary_cross_entropy_with_logits(z, (1 - smoothing) * y + smoothing * (1 - y))


def focal_published(z, y, alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA):
    """The weight (1 - sigmoid z)^gamma is a constant, and the same for both classes."""
    a = alpha if y.sum() != 0 else 1 - alpha
    w = (1 - torch.sigmoid(z)).pow(gamma).detach()
    return (a * w * F.binary_cross_entropy_with_logits(z, y, reduction="none")).mean()


def focal_canonical(z, y, alpha=0.25, gamma=2.0):
    """Lin et al. 2017: -alpha_t (1 - p_t)^gamma log p_t; a soft label is the mixture of the terms of its two classes."""
    log_p, log_q = F.logsigmoid(z), F.logsigmoid(-z)
    attack = -alpha * log_q.exp().pow(gamma) * log_p
    genuine = -(1 - alpha) * log_p.exp().pow(gamma) * log_q
    return (y * attack + (1 - y) * genuine).mean()


def supcon_published(v, labels, temperature=SUPCON_TEMPERATURE):
    """mean_i -log( sum over positives e^s / sum over all others e^s ); v is normalised here (again).

    An anchor without a positive would be log 0: it contributes 0, and the mean stays over all anchors.
    """
    f = F.normalize(v, dim=1)
    e = torch.exp(f @ f.T / temperature) * (1 - torch.eye(len(f), dtype=f.dtype))
    positive = (labels[:, None] == labels[None, :]).to(f.dtype)
    p, q = (e * positive).sum(1), e.sum(1)
    has = p > 0
    return torch.where(has, torch.log(q) - torch.log(torch.where(has, p, q)), torch.zeros_like(q)).mean()


def supcon_weighted(v, weights, temperature):
    """mean_i -1/W_i sum_j w_ij [ s_ij - log sum_a e^s_ia ], W_i = sum_j w_ij; W_i = 0 contributes 0."""
    f = F.normalize(v, dim=1)
    others = ~torch.eye(len(f), dtype=torch.bool)
    s = f @ f.T / temperature
    log_p = s - torch.logsumexp(s.masked_fill(~others, -math.inf), 1, keepdim=True)
    w = weights * others
    total = w.sum(1)
    return -((w * log_p).sum(1) / torch.where(total > 0, total, torch.ones_like(total))).mean()


def supcon_canonical(v, labels, temperature=SUPCON_TEMPERATURE):
    """L_out with T_base = T: every sample of the same class is a positive of weight 1."""
    return supcon_weighted(v, (labels[:, None] == labels[None, :]).to(v.dtype), temperature)


def supcon_soft(v, y, temperature=SUPCON_TEMPERATURE):
    """L_out for mixtures: the weight is the probability that two samples are of one class."""
    return supcon_weighted(v, y[:, None] * y[None, :] + (1 - y[:, None]) * (1 - y[None, :]), temperature)


def learning_rate(k, total, warmup, high=MAX_LR, low=MIN_LR):
    """Rate of 0-based step k: linear warm-up from `low`, then half a cosine back to it."""
    if k < warmup:
        return low + (high - low) * k / warmup
    return low + (high - low) * (1 + math.cos(math.pi * (k - warmup) / (total - warmup))) / 2
