"""MTCNN of Bonafide and of facenet-pytorch on the same cores, in turns: photographs of 640 x 480 a second, and their ratio.

facenet-pytorch counts with the best of: a photograph a call and eight a call, on all threads, and a process for each core with
a thread of its own.

usage: compare_faces.py BENCH_FACES PYTHON PHOTOS [--rounds 3] [--seconds 4] [--threads N] [--json FILE]
PHOTOS: a folder of photographs, made 640 x 480; PYTHON has facenet-pytorch, torch and Pillow.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MAKE = """
import pathlib, sys
from PIL import Image, ImageOps
for i, p in enumerate(sorted(pathlib.Path(sys.argv[1]).glob("*.jpg"))):
    ImageOps.fit(Image.open(p).convert("RGB"), (640, 480)).save(f"{sys.argv[2]}/{i:02d}.png")
"""
WHERE = "import facenet_pytorch, os; print(os.path.join(os.path.dirname(facenet_pytorch.__file__), 'data'))"


def run(command, **environment):
    return subprocess.run(command, env=os.environ | environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def ours(bench, folder, weights, threads, seconds):
    out = run([bench, f"--benchmark_filter=threads:{threads}$", f"--benchmark_min_time={seconds}", "--benchmark_format=json"],
              BF_PHOTOS=folder, BF_MTCNN=weights)
    result = json.loads(out[out.index("{"):])["benchmarks"][0]
    return result["items_per_second"], round(result["faces"])


def theirs(python, folder, how, processes, threads, seconds):
    command = [python, os.path.join(HERE, "facenet_detect.py"), folder, how, str(seconds)]
    started = [subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": str(threads)}, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True) for _ in range(processes)]
    answers = [p.communicate()[0].splitlines()[-1].split() for p in started]
    return sum(float(a[0]) for a in answers), int(answers[0][1])


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("bench_faces"), a.add_argument("python"), a.add_argument("photos")
    a.add_argument("--rounds", type=int, default=3), a.add_argument("--seconds", type=float, default=4)
    a.add_argument("--threads", type=int, default=2, choices=(1, 2)), a.add_argument("--json")
    a = a.parse_args()
    ways = {"a photograph a call": ("one", 1, a.threads), "eight a call": ("batch", 1, a.threads), "a process a core": ("one", a.threads, 1)}
    with tempfile.TemporaryDirectory() as folder:
        run([a.python, "-c", MAKE, a.photos, folder])
        weights = run([a.python, "-c", WHERE]).splitlines()[-1]
        mine, other = [], {name: [] for name in ways}
        for _ in range(a.rounds):
            speed, faces = ours(a.bench_faces, folder, weights, a.threads, a.seconds)
            mine.append(speed)
            for name, (how, processes, threads) in ways.items():
                speed, found = theirs(a.python, folder, how, processes, threads, a.seconds)
                other[name].append(speed)
                assert how != "one" or found == faces, f"{found} faces and {faces}"
        count = len(os.listdir(folder))
    best = max(ways, key=lambda name: statistics.median(other[name]))
    ratios = [m / o for m, o in zip(mine, other[best])]
    print(f"{count} photographs of 640 x 480, {faces} faces, {a.threads} cores, photographs/s")
    print(f"  Bonafide                               {statistics.median(mine):6.1f}")
    for name, v in other.items():
        print(f"  facenet-pytorch, {name:20}  {statistics.median(v):6.1f}")
    print(f"  ratio to {best}: {statistics.median(ratios):.2f}   ({' '.join(f'{r:.2f}' for r in ratios)})")
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"photographs": count, "faces": faces, "threads": a.threads, "bonafide": mine, "facenet_pytorch": other,
                       "ratio": statistics.median(ratios)}, f, indent=1)


if __name__ == "__main__":
    main()
