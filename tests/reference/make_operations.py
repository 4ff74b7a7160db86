"""tests/fixtures/operations.json: single operations in float64, outputs and gradients.

Every input of case `c` is formula.tensor(f"{c}.{what}", shape, scale, offset): x and dy in the engine's layout (images
[N, H, W, C]), weights in timm's. Scales are 1 and offsets 0 unless the case says otherwise. Shapes include 1, primes, one past
a vector (17, 33) and a mean of 300.
"""
import timm.layers.grn
import torch
import torch.nn.functional as F

import common
from common import rounded, write_json
from formula import tensor

cases = {}


def leaf(case, what, shape, scale=1.0, offset=0.0):
    return tensor(f"{case}.{what}", shape, scale, offset).requires_grad_()


def record(case, y, leaves, dy_shape=None, **extra):
    """y and the gradient of every leaf for dy = formula; `y` and dy in the engine's layout."""
    y.backward(tensor(f"{case}.dy", tuple(y.shape)))
    cases[case] = extra | {"y": rounded(y)} | {f"d{n}": rounded(v.grad) for n, v in leaves.items()}


def to_nchw(x):
    return x.permute(0, 3, 1, 2)


def to_nhwc(x):
    return x.permute(0, 2, 3, 1)


def depthwise():
    for n, h, w, c in [(1, 1, 1, 1), (2, 5, 3, 17), (1, 8, 9, 33), (2, 13, 2, 8)]:
        case = f"dwconv.{n}x{h}x{w}x{c}"
        x, weight, bias = leaf(case, "x", (n, h, w, c)), leaf(case, "w", (c, 1, 7, 7)), leaf(case, "b", (c,))
        y = to_nhwc(F.conv2d(to_nchw(x), weight, bias, padding=3, groups=c))
        record(case, y, {"x": x, "w": weight, "b": bias}, shape=[n, h, w, c])


def conv2d():
    # n, h, w, in, out, kernel, stride, padding, groups, bias: the windows of MTCNN and InceptionResnetV1, and general ones
    for n, h, w, i, o, kernel, stride, padding, groups, bias in [
        (1, 1, 1, 1, 1, (3, 3), (1, 1), (1, 1), 1, True),
        (2, 5, 7, 3, 10, (3, 3), (1, 1), (0, 0), 1, True),
        (1, 4, 4, 17, 33, (2, 2), (1, 1), (0, 0), 1, True),
        (2, 9, 8, 3, 8, (3, 3), (2, 2), (0, 0), 1, False),
        (1, 6, 5, 8, 5, (1, 7), (1, 1), (0, 3), 1, False),
        (1, 5, 6, 8, 5, (7, 1), (1, 1), (3, 0), 1, False),
        (2, 3, 5, 17, 4, (1, 1), (1, 1), (0, 0), 1, True),
        (1, 5, 6, 4, 3, (1, 1), (2, 2), (0, 0), 1, False),
        (1, 6, 7, 6, 6, (3, 3), (1, 1), (1, 1), 6, True),
        (2, 7, 6, 6, 9, (3, 2), (2, 1), (1, 2), 3, True),
    ]:
        case = "conv2d." + "x".join(map(str, (n, h, w, i, o, *kernel))) + f".s{stride[0]}x{stride[1]}.p{padding[0]}x{padding[1]}.g{groups}"
        leaves = {"x": leaf(case, "x", (n, h, w, i)), "w": leaf(case, "w", (o, i // groups, *kernel))}
        if bias:
            leaves["b"] = leaf(case, "b", (o,))
        y = to_nhwc(F.conv2d(to_nchw(leaves["x"]), leaves["w"], leaves.get("b"), stride, padding, groups=groups))
        record(case, y, leaves, shape=[n, h, w, i, o, groups], window=[*kernel, *stride, *padding], bias=bias)


def concat():
    for n, h, w, widths in [(1, 1, 1, [1, 1]), (2, 3, 2, [17, 1, 8])]:
        case = f"concat.{n}x{h}x{w}x" + "+".join(map(str, widths))
        leaves = {f"x{k}": leaf(case, f"x{k}", (n, h, w, c)) for k, c in enumerate(widths)}
        record(case, torch.cat(list(leaves.values()), dim=-1), leaves, shape=[n, h, w], widths=widths)


def layer_norm():
    for rows, c, offset in [(1, 1, 0), (3, 17, 0), (5, 33, 0), (2, 320, 0), (3, 40, 300)]:
        case = f"layer_norm.{rows}x{c}+{offset}"
        x, gamma, beta = leaf(case, "x", (rows, c), 1, offset), leaf(case, "gamma", (c,)), leaf(case, "beta", (c,))
        y = F.layer_norm(x, (c,), gamma, beta, eps=1e-6)
        record(case, y, {"x": x, "gamma": gamma, "beta": beta}, shape=[rows, c], offset=offset)


def gelu():
    x = leaf("gelu", "x", (97,), 6)
    record("gelu", F.gelu(x), {"x": x}, shape=[97], scale=6)


def linear():
    for rows, i, o in [(1, 1, 1), (3, 17, 33), (5, 7, 1), (2, 40, 13)]:
        for name, after in [("linear", lambda y: y), ("linear_gelu", F.gelu)]:
            case = f"{name}.{rows}x{i}x{o}"
            x, w, b = leaf(case, "x", (rows, i)), leaf(case, "w", (o, i)), leaf(case, "b", (o,))
            record(case, after(F.linear(x, w, b)), {"x": x, "w": w, "b": b}, shape=[rows, i, o])


def grn():
    for n, h, w, c in [(1, 1, 1, 1), (2, 3, 5, 17), (3, 4, 4, 33)]:
        case = f"grn.{n}x{h}x{w}x{c}"
        layer = timm.layers.grn.GlobalResponseNorm(c, channels_last=True).double()
        x, gamma, beta = leaf(case, "x", (n, h, w, c)), leaf(case, "gamma", (c,)), leaf(case, "beta", (c,))
        y = torch.func.functional_call(layer, {"weight": gamma, "bias": beta}, (x,))
        record(case, y, {"x": x, "gamma": gamma, "beta": beta}, shape=[n, h, w, c])


def patchify():
    for k, n, h, w, i, o in [(4, 1, 4, 4, 3, 5), (4, 2, 8, 12, 3, 17), (4, 1, 9, 6, 3, 8), (2, 2, 6, 4, 17, 33), (2, 1, 5, 3, 4, 6)]:
        case = f"patchify{k}.{n}x{h}x{w}x{i}x{o}"
        x, weight, bias = leaf(case, "x", (n, h, w, i)), leaf(case, "w", (o, i, k, k)), leaf(case, "b", (o,))
        record(case, to_nhwc(F.conv2d(to_nchw(x), weight, bias, stride=k)), {"x": x, "w": weight, "b": bias}, shape=[n, h, w, i, o], k=k)


def small():
    for rows, c in [(1, 1), (3, 17), (2, 128)]:
        case = f"l2_normalize.{rows}x{c}"
        x = leaf(case, "x", (rows, c))
        record(case, F.normalize(x, dim=1), {"x": x}, shape=[rows, c])
    for n, h, w, c in [(1, 1, 1, 1), (2, 3, 5, 17)]:
        case = f"pool.{n}x{h}x{w}x{c}"
        x = leaf(case, "x", (n, h, w, c))
        record(case, x.mean((1, 2)), {"x": x}, shape=[n, h, w, c])


def losses():
    def scalar(case, loss, x, **extra):
        loss.backward()
        cases[case] = extra | {"loss": rounded(loss.item(), 12), "dx": rounded(x.grad, 10)}

    soft, hard = [1, 0, 1, 0, 0.25, 0.75, 1, 0], [1, 0, 1, 0, 0, 1, 1, 0]
    for targets, y in [("soft", soft), ("hard", hard), ("zero", [0] * 8), ("one", [1])]:
        for form, loss in [("bce", lambda z, t: common.bce_smoothed(z, t, 0.0)), ("bce_smoothed", common.bce_smoothed),
                           ("focal_published", common.focal_published), ("focal_canonical", common.focal_canonical)]:
            case = f"{form}.{targets}"
            z = leaf(case, "x", (len(y),), 12)  # up to where a naive sigmoid has lost its digits
            scalar(case, loss(z, torch.tensor(y, dtype=torch.float64)), z, targets=y, scale=12)

    # Soft labels are what CutMix makes; hard forms take their integer part. The last anchor of "lone" has no positive at all.
    mixed = {"pairs": [1, 0, 1, 0.25, 0.75, 0, 1, 0.5], "lone": [1, 1, 0]}
    for pattern, y in mixed.items():
        for form, loss in [("supcon_soft", common.supcon_soft),
                           ("supcon_published", lambda v, t: common.supcon_published(v, t.long())),
                           ("supcon_canonical", lambda v, t: common.supcon_canonical(v, t.long()))]:
            case = f"{form}.{pattern}"
            v = leaf(case, "x", (len(y), 5))
            scalar(case, loss(v, torch.tensor(y, dtype=torch.float64)), v, shape=[len(y), 5], labels=y,
                   temperature=common.SUPCON_TEMPERATURE)
    for n, width, pattern in [(2, 3, [0, 0]), (5, 17, [1, 0, 1, 1, 0]), (16, 128, [1, 0] * 8), (7, 2, [0, 1, 2, 0, 1, 2, 0]),
                              (5, 4, [0, 1, 0, 2, 0])]:  # the last has two anchors without a positive
        for form, loss in [("supcon_published", common.supcon_published), ("supcon_canonical", common.supcon_canonical)]:
            case = f"{form}.{n}x{width}." + "".join(map(str, pattern))
            v = leaf(case, "x", (n, width))
            scalar(case, loss(v, torch.tensor(pattern)), v, shape=[n, width], labels=pattern, temperature=common.SUPCON_TEMPERATURE)


def optimisers():
    n, steps = 37, 5
    rates = [6.8e-7, 1.8e-4, 1.5e-2, 9e-5, 1e-3]
    for name, make, options in [
        ("adamw", torch.optim.AdamW, {"weight_decay": common.WEIGHT_DECAY}),
        ("adamw_decay", torch.optim.AdamW, {"weight_decay": 0.05, "betas": (0.8, 0.95), "eps": 1e-6}),
        ("sgd", torch.optim.SGD, {"momentum": 0.9, "weight_decay": 5e-4}),
        ("sgd_plain", torch.optim.SGD, {"momentum": 0.0, "weight_decay": 0.0}),
    ]:
        p = leaf(name, "p", (n,))
        optimizer = make([p], lr=1.0, **options)
        after = []
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rates[step]
            p.grad = tensor(f"{name}.g{step}", (n,), 10.0 ** (step - 3))  # gradients from 1e-3 to 10
            optimizer.step()
            after.append(rounded(p, 10))
        cases[name] = {"rates": rates, "options": options, "after": after}

    for name, scale in [("clip.above", 3.0), ("clip.below", 0.01)]:
        a, b = (torch.zeros(k, dtype=torch.float64, requires_grad=True) for k in (37, 5))
        a.grad, b.grad = tensor(f"{name}.a", (37,), scale), tensor(f"{name}.b", (5,), scale)
        norm = torch.nn.utils.clip_grad_norm_([a, b], 1.0)
        cases[name] = {"scale": scale, "max_norm": 1.0, "norm": rounded(norm.item(), 12), "a": rounded(a.grad), "b": rounded(b.grad)}

    average, update = tensor("ema.p", (37,)), torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    for step in range(3):
        update([average], [tensor(f"ema.p{step}", (37,))], None)
    cases["ema"] = {"decay": 0.9, "after": rounded(average)}


def schedule():
    """PyTorch's own LinearLR then CosineAnnealingLR against the closed form, at the paper's length and at thirty steps."""
    for total, warmup in [(2460, 123), (30, 1), (10, 0)]:
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=common.MAX_LR)
        parts = [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warmup, common.MIN_LR)]
        if warmup:
            low = common.MIN_LR / common.MAX_LR
            parts = [torch.optim.lr_scheduler.LinearLR(optimizer, low, 1.0, warmup)] + parts
            scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, parts, [warmup])
        else:
            scheduler = parts[0]
        rates = []
        for k in range(total):
            rates.append(optimizer.param_groups[0]["lr"])
            closed = common.learning_rate(k, total, warmup)
            assert abs(rates[-1] - closed) <= 1e-9 * closed, (k, rates[-1], closed)
            optimizer.step()
            scheduler.step()
        at = sorted({0, 1, warmup // 2, warmup - 1, warmup, warmup + 1, total // 2, total - 1} - {-1})
        cases[f"schedule.{total}"] = {"total": total, "warmup": warmup, "max": common.MAX_LR, "min": common.MIN_LR,
                                      "rates": {str(k): common.learning_rate(k, total, warmup) for k in at}}


def main():
    for make in (depthwise, conv2d, concat, layer_norm, gelu, linear, grn, patchify, small, losses, optimisers, schedule):
        make()
    write_json("operations.json", cases)


if __name__ == "__main__":
    main()
