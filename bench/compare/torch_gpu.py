"""What PyTorch does on this GPU, as ceilings and opponents for ours: copy bandwidth, matrix products of ConvNeXt-V2 tiny,
cuDNN's depthwise 7x7 (both layouts, each pass), and the whole model (timm): eager with autocast, eager bf16, torch.compile
channels_last. Random data, medians of CUDA events. Rows are printed as they finish, in the order of their value, and written
to a JSON file; what no longer fits into the time is named as skipped.

usage: torch_gpu.py FILE.json [SECONDS]
"""
import json
import statistics
import sys
import time

import timm
import torch
import torch.nn.functional as F

BF16 = torch.bfloat16
file, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 450
begin = time.perf_counter()
rows = []
torch.backends.cudnn.benchmark = True
torch.manual_seed(1)


def left():
    return seconds - (time.perf_counter() - begin)


def random(*shape):
    return torch.randn(*shape, device="cuda", dtype=BF16)


def milliseconds(f, runs=15, warm=4):
    for _ in range(warm):
        f()
    torch.cuda.synchronize()
    times = []
    for _ in range(runs):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        f()
        b.record()
        b.synchronize()
        times.append(a.elapsed_time(b))
    return statistics.median(times)


def row(name, ms, **more):
    rows.append({"name": name, "ms": round(ms, 4), **{k: round(v, 3) for k, v in more.items()}})
    print(f"{name:58} {ms:9.3f} ms  " + "  ".join(f"{k} {v:.4g}" for k, v in more.items()), flush=True)
    save()


def save():
    p = torch.cuda.get_device_properties(0)
    facts = {"gpu": p.name, "multiprocessors": p.multi_processor_count, "torch": torch.__version__, "timm": timm.__version__,
             "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "date": time.strftime("%Y-%m-%d")}
    with open(file, "w") as out:
        json.dump({**facts, "rows": rows}, out, indent=1)


def ceilings():
    x = random(1 << 30)
    y = torch.empty_like(x)
    ms = milliseconds(lambda: y.copy_(x))
    row("copy of 2 GiB", ms, TBps=2 * x.numel() * 2 / ms / 1e9)
    a, b = random(8192, 8192), random(8192, 8192)
    ms = milliseconds(lambda: a @ b)
    row("matrix product 8192^3, bf16", ms, TFLOPs=2 * 8192**3 / ms / 1e9)


def products():
    for m, k, n in ((802816, 96, 384), (802816, 384, 96), (200704, 192, 768), (50176, 384, 1536), (50176, 1536, 384),
                    (12544, 768, 3072), (12544, 3072, 768)):
        x, w, g = random(m, k), random(n, k), random(m, n)
        ms = milliseconds(lambda: F.linear(x, w))
        row(f"linear {m} x {k} -> {n}", ms, TFLOPs=2 * m * k * n / ms / 1e9, TBps=2 * (m * k + m * n) / ms / 1e9)
        ms = milliseconds(lambda: g.t() @ x)
        row(f"  its weight gradient", ms, TFLOPs=2 * m * k * n / ms / 1e9)


def depthwise(batch=256):
    for channels, side in ((96, 56), (192, 28), (384, 14), (768, 7)):
        for layout, memory in (("NHWC", torch.channels_last), ("NCHW", torch.contiguous_format)):
            x = random(batch, channels, side, side).to(memory_format=memory)
            g, w, bias = torch.randn_like(x), random(channels, 1, 7, 7), random(channels)

            def backward(mask):
                return lambda: torch.ops.aten.convolution_backward(g, x, w, [channels], [1, 1], [3, 3], [1, 1], False, [0, 0],
                                                                   channels, mask)
            passes = {"forward": lambda: F.conv2d(x, w, bias, padding=3, groups=channels),
                      "data gradient": backward([True, False, False]), "weight gradient": backward([False, True, False])}
            for name, f in passes.items():
                ms = milliseconds(f)
                row(f"depthwise 7x7 {channels} x {side}^2 {layout} {name}", ms, TFLOPs=98 * x.numel() / ms / 1e9)


def model(batch, train, how, compiled):
    what = f"{'training' if train else 'inference'} batch {batch}, {how}{', torch.compile' if compiled else ''}"
    if left() < (75 if compiled else 20):
        print(f"{what}: skipped, out of time", flush=True)
        return
    torch._dynamo.reset()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    net = timm.create_model("convnextv2_tiny", num_classes=1, drop_path_rate=0.1 if train else 0.0).cuda().train(train)
    autocast = how == "autocast"
    net = (net if autocast else net.to(BF16)).to(memory_format=torch.channels_last)
    x = torch.randn(batch, 3, 224, 224, device="cuda", dtype=torch.float32 if autocast else BF16).to(memory_format=torch.channels_last)
    y = (torch.arange(batch, device="cuda") % 2).float()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True) if train else None
    f = torch.compile(net, mode="reduce-overhead" if batch == 1 else "default") if compiled else net
    base = torch.cuda.memory_allocated()

    def step():
        if not train:
            with torch.inference_mode(), torch.autocast("cuda", BF16, enabled=autocast):
                return f(x)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", BF16, enabled=autocast):
            logit = f(x).squeeze(1)
        F.binary_cross_entropy_with_logits(logit.float(), y).backward()
        optimizer.step()
    try:
        ms = milliseconds(step, 12, 5)
    except Exception as error:  # one opponent that fails must not cost the others
        print(f"{what}: {error!r:.200}", flush=True)
        return
    row(what, ms, images_per_s=1e3 * batch / ms, peak_MB_per_image=(torch.cuda.max_memory_allocated() - base) / batch / 1e6)


ceilings()
depthwise()
model(256, True, "autocast", True)
model(256, True, "autocast", False)
model(256, False, "bf16", True)
model(64, True, "autocast", True)
products()
model(64, True, "autocast", False)
model(256, True, "bf16", False)
model(256, False, "autocast", False)
model(1, False, "bf16", True)
model(64, False, "bf16", True)
