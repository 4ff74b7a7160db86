"""tests/fixtures/operations_pool.json: batch norm, PReLU, pooling and area resizing in float64, outputs and gradients.

Every input of case `c` is formula.tensor(f"{c}.{what}", shape, scale, offset), as in make_operations.py. Cases with scale 0
have nothing but equal values in x: what a maximum's gradient does then is part of PyTorch's answer.
"""
import torch
import torch.nn.functional as F

from common import rounded, write_json
from formula import tensor

cases = {}


def leaf(case, what, shape, scale=1.0, offset=0.0):
    return tensor(f"{case}.{what}", shape, scale, offset).requires_grad_()


def record(case, y, leaves, **extra):
    y.backward(tensor(f"{case}.dy", tuple(y.shape)))
    cases[case] = extra | {"y_shape": list(y.shape), "y": rounded(y)} | {f"d{n}": rounded(v.grad) for n, v in leaves.items()}


def to_nchw(x):
    return x.permute(0, 3, 1, 2)


def to_nhwc(x):
    return x.permute(0, 2, 3, 1)


def batch_norm():
    for training in (True, False):
        for n, h, w, c, offset, eps, momentum in [(2, 3, 5, 17, 0, 1e-5, 0.1), (1, 1, 2, 1, 0, 1e-3, 0.1), (3, 4, 4, 9, 300, 1e-3, 0.25)]:
            case = f"batch_norm.{'training' if training else 'inference'}.{n}x{h}x{w}x{c}+{offset}"
            x, weight, bias = leaf(case, "x", (n, h, w, c), 1, offset), leaf(case, "w", (c,)), leaf(case, "b", (c,))
            mean, var = tensor(f"{case}.mean", (c,), 0.5, offset), tensor(f"{case}.var", (c,), 0.5, 1)
            y = to_nhwc(F.batch_norm(to_nchw(x), mean, var, weight, bias, training, momentum, eps))
            record(case, y, {"x": x, "w": weight, "b": bias}, shape=[n, h, w, c], offset=offset, training=training, eps=eps,
                   momentum=momentum, running_mean=rounded(mean), running_var=rounded(var))


def prelu():
    for n, h, w, c in [(1, 1, 1, 1), (2, 3, 5, 17)]:
        for slopes in sorted({1, c}):
            case = f"prelu.{n}x{h}x{w}x{c}.{slopes}"
            x, slope = leaf(case, "x", (n, h, w, c)), leaf(case, "slope", (slopes,))
            record(case, to_nhwc(F.prelu(to_nchw(x), slope)), {"x": x, "slope": slope}, shape=[n, h, w, c], slopes=slopes)


# (kernel, stride, padding, ceil_mode) over H x W: MTCNN's, ResNet's, overlap, gaps, a last window that is left out, one that
# reaches beyond the padding, one larger than the image.
WINDOWS = [
    ((1, 1), ((1, 1), (1, 1), (0, 0), False)),
    ((5, 7), ((2, 2), (2, 2), (0, 0), True)),
    ((6, 5), ((3, 3), (2, 2), (0, 0), True)),
    ((8, 7), ((3, 3), (2, 2), (1, 1), False)),
    ((4, 5), ((3, 2), (1, 1), (1, 1), False)),
    ((5, 5), ((2, 2), (3, 3), (1, 1), True)),
    ((7, 7), ((4, 4), (3, 3), (2, 1), True)),
    ((2, 2), ((3, 3), (2, 2), (0, 0), True)),
]


def pools():
    for (h, w), (kernel, stride, padding, ceil_mode) in WINDOWS:
        window = [*kernel, *stride, *padding, ceil_mode]
        name = f"{h}x{w}.k{kernel[0]}{kernel[1]}.s{stride[0]}{stride[1]}.p{padding[0]}{padding[1]}.{'ceil' if ceil_mode else 'floor'}"
        for scale in (1, 0):
            case = f"max_pool2d.{name}.{'values' if scale else 'ties'}"
            x = leaf(case, "x", (2, h, w, 3), scale, -1)
            record(case, to_nhwc(F.max_pool2d(to_nchw(x), kernel, stride, padding, ceil_mode=ceil_mode)), {"x": x},
                   shape=[2, h, w, 3], window=window, scale=scale, offset=-1)
        for include in (True, False):
            case = f"avg_pool2d.{name}.{'padding' if include else 'inputs'}"
            x = leaf(case, "x", (2, h, w, 3))
            record(case, to_nhwc(F.avg_pool2d(to_nchw(x), kernel, stride, padding, ceil_mode, include)), {"x": x},
                   shape=[2, h, w, 3], window=window, count_include_pad=include)


def area_resize():
    for h, w, c, oh, ow in [(1, 1, 1, 1, 1), (8, 6, 3, 4, 3), (11, 13, 3, 7, 5), (5, 4, 2, 7, 9), (9, 2, 17, 2, 3), (6, 5, 3, 1, 1)]:
        case = f"area_resize.{h}x{w}x{c}.{oh}x{ow}"
        x = leaf(case, "x", (2, h, w, c))
        y = F.interpolate(to_nchw(x), (oh, ow), mode="area")
        assert torch.equal(y, F.adaptive_avg_pool2d(to_nchw(x), (oh, ow)))
        record(case, to_nhwc(y), {"x": x}, shape=[2, h, w, c], to=[oh, ow])


def main():
    for make in (batch_norm, prelu, pools, area_resize):
        make()
    write_json("operations_pool.json", cases)


if __name__ == "__main__":
    main()
