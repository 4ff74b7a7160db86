"""Numbers that C++ and Python compute alike, bit for bit, from a name and an index.

The other half, with the reasons, is tests/support/formula.h; tests/fixtures/formula.json pins the two together.
"""
import numpy as np
import torch

_U64 = np.uint64


def _mix64(x):
    with np.errstate(over="ignore"):
        x = x + _U64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> _U64(27))) * _U64(0x94D049BB133111EB)
        return x ^ (x >> _U64(31))


def _hash_name(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def _hashes(name, n):
    with np.errstate(over="ignore"):
        return _mix64(_U64(_hash_name(name)) + np.arange(n, dtype=_U64))


def bits(name, n):
    """The top 24 bits of the hash of (name, i) for i < n."""
    return (_hashes(name, n) >> _U64(40)).astype(np.int64)


def values(name, n):
    """float64 in [-1, 1), multiples of 2^-23."""
    return bits(name, n) * 2.0**-23 - 1


def numbers(name, n, scale=1.0, offset=0.0):
    """offset + scale * value rounded once to float32."""
    scale, offset = float(np.float32(scale)), float(np.float32(offset))
    return (scale * values(name, n) + offset).astype(np.float32)


def tensor(name, shape, scale=1.0, offset=0.0, dtype=torch.float64):
    """The numbers of `name` in row-major order of `shape`."""
    n = int(np.prod(shape))
    return torch.from_numpy(numbers(name, n, scale, offset)).to(dtype).reshape(shape)


def parameter(name, shape, dtype=torch.float32):
    """A weight of a test model, by timm's name and shape."""
    if len(shape) > 1:
        gain = 0.3 if ".fc2." in name else 0.25 if "cls." in name or "proj." in name else 1.0
        return tensor(name, shape, gain * np.sqrt(3.0 / np.prod(shape[1:])), dtype=dtype)
    if not name.endswith(".weight"):
        return tensor(name, shape, 0.1, dtype=dtype)
    return tensor(name, shape, 0.5, dtype=dtype) if ".grn." in name else tensor(name, shape, 0.1, 1.0, dtype=dtype)


def samples(name, k, n):
    """The first k sampled places of a tensor with n elements (places may repeat)."""
    return (_hashes("sample:" + name, k) % _U64(n)).astype(np.int64)


def image(name, label, height, width):
    """uint8 [height, width, 3]: triangle waves that tell the class, a tint and noise."""

    def draw(stream, n, amplitude):
        return (bits(stream, n) * (2 * amplitude + 1) >> 24) - amplitude

    y, x = np.mgrid[:height, :width]
    period = 16 if label else 64
    t = (x + y if label else x - y + 65536) % period - period // 2
    wave = (np.abs(t) - period // 4) * (128 // period)
    v = 128 + wave[..., None] + draw(name + ":tint", 3, 24) + draw(name, height * width * 3, 56).reshape(height, width, 3)
    return np.clip(v, 0, 255).astype(np.uint8)


def sketch(name, v, buckets):
    """Count sketch of a flat float64 array."""
    h = _hashes("sketch:" + name, len(v))
    sign = np.where(h & _U64(1), 1.0, -1.0)
    return np.bincount(((h >> _U64(1)) % _U64(buckets)).astype(np.int64), weights=sign * v, minlength=buckets)
