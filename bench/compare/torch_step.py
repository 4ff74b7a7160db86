"""What bench_step times, in PyTorch and timm: inference, or a training step (forward, BCE, backward, AdamW) of
ConvNeXt-V2 tiny at 224 pixels. Prints the median seconds of one pass and the peak of resident memory in bytes.

usage: torch_step.py infer|train f32|bf16 BATCH contiguous|channels_last SECONDS
"""
import contextlib
import os
import resource
import statistics
import sys
import time

import timm
import torch

what, precision, batch, layout, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], float(sys.argv[5])
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.manual_seed(1)
model = timm.create_model("convnextv2_tiny", num_classes=1)
x, y = torch.rand(batch, 3, 224, 224) * 2 - 1, (torch.arange(batch) % 2 == 0).float()
if layout == "channels_last":
    model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
precise = contextlib.nullcontext if precision == "f32" else lambda: torch.autocast("cpu", dtype=torch.bfloat16)

if what == "infer":
    model.eval()

    def step():
        with torch.inference_mode(), precise():
            model(x)
else:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1.1e-5, fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with precise():
            logit = model(x).squeeze(1)
        torch.nn.functional.binary_cross_entropy_with_logits(logit.float(), y).backward()
        optimizer.step()

step(), step()
times, end = [], time.perf_counter() + seconds
while not times or time.perf_counter() < end:
    start = time.perf_counter()
    step()
    times.append(time.perf_counter() - start)
print(statistics.median(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
