"""Bonafide and PyTorch on the same cores, in turns: images a second of inference and of training, and their ratio.

Every setting is run as ours, PyTorch contiguous, PyTorch channels_last, one process each, and that `--rounds` times over.
PyTorch's allocator is told to keep its memory and to use huge pages (as ours does by itself): inference is 1.8 times as
fast with that. A figure is the median over the rounds of each process's own median; PyTorch counts with the better of its two layouts.

Just before each of ours, our linear layer (oneDNN's products, in tiles) multiplies 1024 x 1024 matrices on the same threads.
The last column is the share of that rate that the model's arithmetic runs at, with everything between the products included: it
says what is left to gain on this machine, whatever else the machine is doing. (It can pass 100 %: larger products than those of
the layer's tiles are somewhat faster, and a neighbour may come or go between the two.)

usage: compare.py BENCHES PYTHON [--rounds 3] [--seconds 3] [--threads N] [--json FILE]
BENCHES is the folder with bench_step and bench_matmul, PYTHON an interpreter that has torch and timm.
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
SETTINGS = [(what, precision, batch) for what in ("infer", "train") for precision in ("f32", "bf16") for batch in (1, 8)]
LAYOUTS = ("contiguous", "channels_last")
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(8 << 30), "MALLOC_TOP_PAD_": str(1 << 30),
               "THP_MEM_ALLOC_ENABLE": "1", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# Of an image: `bonafide doctor --model convnextv2_tiny` counts 4.455 G multiply-accumulates forward; backward takes two for each.
FLOP = {"infer": 2 * 4.455e9, "train": 6 * 4.455e9}


def median_of(program, name, seconds):
    out = subprocess.run([program, f"--benchmark_filter=^{name}/", "--benchmark_format=json", f"--benchmark_min_time={seconds / 5}",
                          "--benchmark_repetitions=5"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return next(r for r in json.loads(out)["benchmarks"] if r.get("aggregate_name") == "median")


def ours(benches, what, precision, batch, seconds):
    return median_of(f"{benches}/bench_step", f"{what}<DType::{precision}>/batch:{batch}", seconds)["real_time"] / 1e3


def matrix_rate(benches, precision):
    """FLOP/s of a 1024^3 product."""
    name = {"f32": "float", "bf16": "bf16"}[precision]
    return median_of(f"{benches}/bench_matmul", f"forward<{name}>/rows:1024/in:1024/out:1024", 1)["FLOP/s"]


def torch(python, what, precision, batch, layout, seconds):
    out = subprocess.run([python, os.path.join(HERE, "torch_step.py"), what, precision, str(batch), layout, str(seconds)],
                         env=os.environ | KEEP_MEMORY, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return float(out.splitlines()[-1].split()[0])  # libraries may have said something before


def machine(python, threads):
    def first(path, key):
        with open(path) as f:
            return next((line.split(":", 1)[1].strip() for line in f if line.startswith(key)), "unknown")
    versions = subprocess.run([python, "-c", "import timm, torch; print(torch.__version__, timm.__version__)"], check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()[-1].split()
    return {"date": datetime.date.today().isoformat(), "cpu": first("/proc/cpuinfo", "model name"),
            "family_model": first("/proc/cpuinfo", "cpu family") + "/" + first("/proc/cpuinfo", "model\t"),
            "bf16_instructions": "avx512_bf16" in first("/proc/cpuinfo", "flags"), "cores": os.cpu_count(), "threads": threads,
            "system": platform.platform(), "load_before": os.getloadavg()[0], "torch": versions[0], "timm": versions[1]}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("benches"), a.add_argument("python")
    a.add_argument("--rounds", type=int, default=3), a.add_argument("--seconds", type=float, default=3)
    a.add_argument("--threads", type=int, default=os.cpu_count()), a.add_argument("--json")
    a = a.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(a.threads)
    about = machine(a.python, a.threads)
    print(f"{about['cpu']}, {a.threads} threads, PyTorch {about['torch']}, timm {about['timm']}; ConvNeXt-V2 tiny, 224 pixels, "
          f"images/s")
    print(f"{'':14}{'Bonafide':>10}{'PyTorch':>10}  {'layout':14}{'ratio':>6}   {'ratio of each round':20}  of the matrix rate")
    rows = []
    for what, precision, batch in SETTINGS:
        own, rates, other = [], [], {layout: [] for layout in LAYOUTS}
        for _ in range(a.rounds):
            rates.append(matrix_rate(a.benches, precision))
            own.append(ours(a.benches, what, precision, batch, a.seconds))
            for layout in LAYOUTS:
                other[layout].append(torch(a.python, what, precision, batch, layout, a.seconds))
        layout = min(LAYOUTS, key=lambda l: statistics.median(other[l]))
        ratios = [theirs / mine for mine, theirs in zip(own, other[layout])]
        rows.append({"what": what, "precision": precision, "batch": batch, "bonafide_seconds": own, "torch_seconds": other,
                     "torch_layout": layout, "bonafide_images_per_second": batch / statistics.median(own),
                     "torch_images_per_second": batch / statistics.median(other[layout]),
                     "ratio": statistics.median(ratios), "matrix_flop_per_second": rates,
                     "share_of_matrix_rate": statistics.median(FLOP[what] * batch / mine / rate for mine, rate in zip(own, rates))})
        r = rows[-1]
        print(f"{what} {precision:5} b{batch:<2} {r['bonafide_images_per_second']:10.1f}{r['torch_images_per_second']:10.1f}  "
              f"{layout:14}{r['ratio']:6.2f}   {' '.join(f'{v:.2f}' for v in ratios):20}  "
              f"{100 * r['share_of_matrix_rate']:3.0f} % of {statistics.median(rates) / 1e9:.0f} GFLOP/s", flush=True)
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"machine": about, "rounds": a.rounds, "seconds": a.seconds, "rows": rows}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
