"""tests/fixtures/face_networks.json: the three networks of MTCNN and InceptionResnetV1 of facenet-pytorch, with the formula's
weights, in float64 and, to say how far that is, in float32; and Pillow's antialiased bilinear resize, as of the version that
facenet-pytorch 2.6.0 asks for (Pillow 13 chooses the order of its two passes by itself, which moves last bits).

Inputs are bytes, formula.image(name, label, height, width). Nothing is downloaded: the classes are made without weights.
"""
import numpy as np
import torch
from facenet_pytorch import MTCNN, InceptionResnetV1
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
import PIL
from PIL import Image

import formula
from common import rounded, write_json


# height, width, least face, factor, thresholds. Only scales that are close have windows that cover each other.
CASCADES = [(40, 56, 20, 0.709, [0.454, 0.296, 0.153]), (63, 48, 20, 0.709, [0.378, 0.254, 0.122]),
            (97, 64, 30, 0.709, [0.402, 0.375, 0.148]), (50, 45, 30, 0.9, [0.432, 0.331, 0.088])]


def weights(name, shape, gain=1.0):
    """As formula.parameter, with what these networks have and ConvNeXt-V2 has not. `gain` is on what the probabilities come
    from, so that some of many windows are faces."""
    if name in ("conv4_1.weight", "dense5_1.weight", "dense6_1.weight"):
        return formula.parameter(name, shape, torch.float64) * gain
    if name.endswith(".running_var"):
        return formula.tensor(name, shape, 0.5, 1.0)
    if name.endswith(".running_mean"):
        return formula.tensor(name, shape, 0.3)
    if name.startswith("prelu"):
        return formula.tensor(name, shape, 0.25, 0.25)
    return formula.parameter(name, shape, torch.float64)


def load(net, gain=1.0):
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                value.copy_(weights(name, tuple(value.shape), gain))
    return net.eval()


def batch(name, n, height, width, divisor):
    images = np.stack([formula.image(f"{name}.{i}", i % 2, height, width) for i in range(n)]).astype(np.float64)
    return torch.from_numpy((images - 127.5) / divisor).permute(0, 3, 1, 2)


def both(net, x):
    """Results in float64, and by how much the largest number of those in float32 differs."""
    with torch.no_grad():
        exact = net.double()(x)
        single = net.float()(x.float())
    exact, single = ([v] if isinstance(v, torch.Tensor) else list(v) for v in (exact, single))
    return exact, max((a - b.double()).abs().max().item() for a, b in zip(exact, single))


def last_axis(v):
    return v.permute(0, 2, 3, 1) if v.dim() == 4 else v


def mtcnn():
    cases = {}
    for kind, sizes in ((PNet, [(12, 12), (13, 12), (31, 44), (40, 33)]), (RNet, [(24, 24)]), (ONet, [(48, 48)])):
        net = load(kind(pretrained=False))
        for height, width in sizes:
            name = f"{kind.__name__.lower()}.{height}x{width}"
            exact, error = both(net, batch(name, 2, height, width, 128.0))
            *moves, probability = map(last_axis, exact)
            cases[name] = {"shape": [2, height, width], "probability": rounded(probability[..., 1]), "moves": rounded(torch.cat(moves, -1)),
                           "float32_error": rounded(error)}
        cases[kind.__name__.lower() + ".parameters"] = [[n, list(p.shape)] for n, p in net.named_parameters()]
    return cases


def cascade():
    """facenet-pytorch's own detect() with such networks, on small images, in float32. Rounding decides nothing: no score is
    near a threshold or another score of its stage."""
    cases = {}
    for height, width, least, factor, thresholds in CASCADES:
        name = f"cascade.{height}x{width}"
        net = MTCNN(min_face_size=least, factor=factor, thresholds=thresholds, keep_all=True)
        seen = []
        for part, threshold in zip((net.pnet, net.rnet, net.onet), thresholds):
            load(part, 4.0).register_forward_hook(lambda _, __, out, t=threshold: seen.append((out[-1][:, 1].flatten(), t)))
        boxes, scores, points = net.detect(Image.fromarray(formula.image(name, 1, height, width)), landmarks=True)
        candidates = [int((p > t).sum()) for p, t in seen]
        margin = min((p - t).abs().min().item() for p, t in seen)
        gap = min(p[p > t].sort().values.diff().min().item() for p, t in seen if (p > t).sum() > 1)
        print(f"{name}: {candidates} windows above, {len(boxes)} faces, nearest to a threshold {margin:.1e}, to each other {gap:.1e}")
        assert len(boxes) > 1 and margin > 1e-4 and gap > 2e-6
        cases[name] = {"shape": [height, width], "least_face": least, "factor": factor, "thresholds": thresholds, "gain": 4.0, "boxes": rounded(boxes),
                       "scores": rounded(scores), "landmarks": rounded(points)}
    return cases


def inception():
    net = load(InceptionResnetV1())
    parts = {}

    def keep(name):
        def hook(module, inputs, output):
            parts[name] = output.detach()
        return hook

    wanted = ["conv2d_1a", "conv2d_4b", "repeat_1", "mixed_6a", "repeat_2", "mixed_7a", "repeat_3", "block8", "last_bn"]
    hooks = [getattr(net, name).register_forward_hook(keep(name)) for name in wanted]
    x = batch("inception", 2, 160, 160, 128.0)
    with torch.no_grad():
        y = net.double()(x)
        kept = dict(parts)
        single = net.float()(x.float())
    for h in hooks:
        h.remove()
    case = {"embedding": rounded(y), "float32_error": rounded((y - single.double()).abs().max().item()), "parts": {},
            "state": [[n, list(v.shape)] for n, v in net.state_dict().items() if not n.endswith("num_batches_tracked")],
            "parameters": sum(p.numel() for p in net.parameters())}
    for name, v in kept.items():
        v = last_axis(v).contiguous()
        at = formula.samples(name, 64, v.numel())
        case["parts"][name] = {"shape": list(v.shape), "samples": rounded(v.flatten()[torch.from_numpy(at)]),
                               "float32_error": rounded((v - last_axis(parts[name]).double()).abs().max().item())}
    return case


def pillow():
    assert PIL.__version__.startswith("10."), PIL.__version__
    cases = {}
    for height, width, side in [(1, 1, 5), (16, 16, 16), (7, 31, 12), (61, 23, 16), (300, 211, 20), (33, 33, 160), (247, 190, 160), (160, 90, 160)]:
        name = f"pillow.{height}x{width}.{side}"
        y = np.asarray(Image.fromarray(formula.image(name, 1, height, width)).resize((side, side), Image.BILINEAR)).astype(np.int64).ravel()
        cases[name] = {"shape": [height, width], "side": side, "first": y[:300].tolist(), "sum": int(y.sum()),
                       "weighted": int((y * (np.arange(len(y)) % 9973)).sum())}
    return cases


if __name__ == "__main__":
    write_json("face_networks.json", {"mtcnn": mtcnn(), "cascade": cascade(), "inception": inception(), "pillow": pillow()})
