#!/usr/bin/env python3
# tests/mutate/__main__.py — plants bugs, one at a time, and shows that the tests catch them. `./dev mutate` calls it.
import argparse, resource, signal, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bugs as B
from farm import MOST_OBJECTS, ROOT, Farm, stop
from source import calls_cuda

ABOUT = """Plants bugs in the sources, one at a time, and shows that the tests catch them. Needs the test build.

Without a name the bugs are generated, over all of engine, kernels, layers and data: operators (tests/mutate/operators.py)
are applied to the lines of the code, and which of the results are planted is drawn by a hash of the lines themselves.
With names (an operation such as gelu, a folder, a file) both the generated bugs of that part of the code and the ones
written by hand, in tests/mutations/NAME.txt, are planted; the name tests/mutations means all that are written by hand.

No bugs are planted where only a GPU could show them: in .cu files, and in .cpp files that include the headers of CUDA's
libraries. The tests that run here would let any of them pass; the device tier (./dev test device) executes these files. Those
that a run leaves out for this reason are named at its end.

What nobody could notice does not count: a bug that does not compile, one that leaves the machine code as it was, and one
that tests/mutate/equivalent.txt lists with the reason. The last line is `N of N caught`."""

EQUIVALENT = ROOT / "tests/mutate/equivalent.txt"
LISTS = ROOT / "tests/mutations"
LEFT_OUT = ("data/images/",)              # drawing: looked at by tests of its statistics, not line by line
TAKEN = ("data/images/decode.cpp", "data/images/header.cpp")  # … but these read files


def sources():
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "engine", "kernels", "layers", "data"],
                           cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in sorted(set(names)):
        shared = name.endswith(("-inl.h", ".simt.h")) or (name.endswith(".h") and name.startswith("kernels/") and name.count("/") == 1)
        if (name.endswith(".cpp") or shared) and (name in TAKEN or not name.startswith(LEFT_OUT)) and (ROOT / name).is_file():
            yield name


def needs_gpu(file):
    return file.endswith(".cpp") and calls_cuda((ROOT / file).read_text())


def matches(file, name):
    """gelu: kernels/gelu/cpu.cpp, layers/functional/gelu.cpp; kernels: everything there; or the file itself."""
    path, name = Path(file), name.strip("/")
    return file == name or file.startswith(name + "/") or name in (path.stem, path.parent.name)


def tier_of(file):
    if file.startswith(("kernels/emulator/", "engine/staging.", "engine/context.")) or file.endswith(".simt.h"):
        return "emulated"
    return "images" if file.startswith(("data/images/", "data/faces/")) else "host"


def stages(file):
    """doctest filters: the test files that are about this file, then all the others."""
    folder = ROOT / "tests" / tier_of(file)  # tests/kernels is part of the host tier and of the emulated tier
    path = Path(file)
    tests = sorted([*folder.glob("test_*.cpp"), *(ROOT / "tests/kernels").glob("test_*.cpp")])
    names = {path.stem, path.parent.name}
    about = [t for t in tests if t.stem[5:] in names]
    if not about:
        header = f"{path.parent}/" if path.parts[0] == "kernels" else f"{path.with_suffix('.h')}\""
        about = [t for t in tests if f'#include "{header}' in t.read_text()]
    if not about:
        return [[]]
    names = ",".join(f"*/{t.name}" for t in about)
    return [[f"-sf={names}"], [f"-sfe={names}"]]


class Report:
    def __init__(self, known):
        self.known = known              # key -> why it is equivalent
        self.lock = threading.Lock()
        self.caught, self.survivors, self.wrong, self.not_counted = 0, [], [], {}
        self.equivalent = 0

    def add(self, bug, line, verdict, seconds):
        """True if it counts."""
        why = self.known.get(bug.key)
        with self.lock:
            if verdict in ("no build", "same code") and bug.at >= 0:  # a bug written by hand should do better
                self.not_counted[verdict] = self.not_counted.get(verdict, 0) + 1
                return False
            if why and verdict == "SURVIVED":
                self.equivalent += 1
                verdict, note = "equivalent", f": {why}"
            elif verdict not in ("caught", "hung"):
                self.survivors.append(bug)
                note = ""
            else:
                self.caught += 1
                note = ""
                if why:
                    self.wrong.append(bug)
                    note = "  (but equivalent.txt says: " + why + ")"
            print(f"{verdict:10s} {bug.file}:{line}  {bug.words}{note}  ({seconds:.0f} s)", flush=True)
            return verdict != "equivalent"


def plant(farm, report, bug, tier, filters):
    """True if it counts."""
    text = (ROOT / bug.file).read_text()
    start, changed = time.monotonic(), bug.planted(text)
    line = 1 + text.count("\n", 0, bug.at if bug.at >= 0 else text.find(bug.old))
    only_first = bug.key in report.known
    name = f"{bug.file.replace('/', '_')}-{B.hashlib.sha256(repr(bug.key).encode()).hexdigest()[:12]}"
    verdict = farm.plant(bug.file, changed, name, tier, filters[:1] if only_first else filters)
    return report.add(bug, line, verdict, time.monotonic() - start)


def plant_generated(farm, report, file, lines_per_bug):
    text = (ROOT / file).read_text()
    wanted = B.quota(text, lines_per_bug)
    for bug in B.shuffled(B.generate(file, text))[:wanted * 4 + 8]:
        if wanted == 0:
            break
        wanted -= plant(farm, report, bug, tier_of(file), stages(file))


def main():
    parser = argparse.ArgumentParser(prog="./dev mutate", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", help="an operation, a folder, a file, or tests/mutations")
    parser.add_argument("--lines-per-bug", type=float, default=100, metavar="N", help="generate a bug for every N lines (100); at least one a file")
    parser.add_argument("--jobs", type=int, default=2, help="bugs at a time (2)")
    parser.add_argument("--list", action="store_true", help="print the generated bugs and plant nothing")
    options = parser.parse_args()

    start, files = time.monotonic(), list(sources())
    _, _, equivalent = B.parse(EQUIVALENT)
    possible = {bug.key for file in {b.file for b in equivalent} if file in files for bug in B.generate(file, (ROOT / file).read_text())}
    stale = [bug for bug in equivalent if bug.key not in possible]
    report = Report({bug.key: bug.words for bug in equivalent})

    by_hand, everything = [], "tests/mutations" in [n.rstrip("/") for n in options.name]
    for path in sorted(LISTS.glob("*.txt")):
        tests, tier, listed = B.parse(path)
        stale += [bug for bug in listed if not (ROOT / bug.file).is_file() or bug.planted((ROOT / bug.file).read_text()) is None]
        named = everything or path.stem in options.name
        wanted = [b for b in listed if b not in stale and (named or any(matches(b.file, n) for n in options.name))]
        by_hand += [(bug, tier, [[f"-tc={tests}"]]) for bug in wanted]
    if options.name:
        files = [f for f in files if any(matches(f, n) for n in options.name)]
        if not files and not by_hand:
            parser.error(f"nothing is called {' '.join(options.name)}")
    left_out = [f for f in files if needs_gpu(f)]
    files = [f for f in files if f not in left_out]
    if options.list:
        for file in files:
            text = (ROOT / file).read_text()
            print("\n\n".join(b.listed() for b in B.shuffled(B.generate(file, text))[:B.quota(text, options.lines_per_bug)]), end="\n\n")
        return 0

    farm = Farm()
    files = [f for f in files if 0 < len(farm.objects(f, tier_of(f))) <= MOST_OBJECTS]
    files.sort(key=lambda f: -B.quota((ROOT / f).read_text(), options.lines_per_bug))
    pool = ThreadPoolExecutor(options.jobs)
    work = [pool.submit(plant_generated, farm, report, f, options.lines_per_bug) for f in files]
    work += [pool.submit(plant, farm, report, *item) for item in by_hand]
    try:
        for done in work:
            done.result()
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)

    for title, which in (("survived: the tests have a hole, or tests/mutate/equivalent.txt lacks a reason", report.survivors),
                         ("caught, but listed in tests/mutate/equivalent.txt", report.wrong),
                         ("stale: a list has what can no longer be planted", stale)):
        if which:
            print(f"\n{title}\n\n" + "\n\n".join(bug.listed() for bug in which) + "\n")
    if left_out:
        print("left to the device tier: " + ", ".join(left_out))
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = usage.ru_utime + usage.ru_stime
    print(", ".join([f"{report.equivalent} equivalent (tests/mutate/equivalent.txt)"] +
                    [f"{n} {verdict}" for verdict, n in sorted(report.not_counted.items())]) +
          f"; {(time.monotonic() - start) / 60:.1f} minutes by the clock, {used / 60:.1f} of processor time")
    total = report.caught + len(report.survivors)
    print(f"{report.caught} of {total} caught", flush=True)
    return 0 if total and not (report.survivors or report.wrong or stale) else 1


signal.signal(signal.SIGTERM, signal.default_int_handler)  # no children left behind
sys.exit(main())
