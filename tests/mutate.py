#!/usr/bin/env python3
# tests/mutate.py — plants the bugs listed in tests/mutations/*.txt, one at a time, and shows that the tests catch them.
"""Usage: tests/mutate.py [NAME ...]      (`./dev mutate` calls it; no NAME: every list)

A list is tests/mutations/NAME.txt. Its first line says which test cases to run, then come blank-line separated bugs:

    tests: gelu*                      doctest filter, may be followed by `in host` (the default), `in images`, …

    what is wrong, in words
    file kernels/gelu/cpu.cpp
    - text as it stands               (several lines allowed; must occur exactly once, leading blanks included after `- `)
    + text as planted

Works on a copy of the tracked files under build/mutate. The last line is `N of N caught`.
"""
import os, shutil, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "mutate"


def parse(path):
    blocks = [b.splitlines() for b in path.read_text().split("\n\n") if b.strip()]
    head = [l for l in blocks[0] if l.startswith("tests:")]
    if not head:
        raise SystemExit(f"{path}: no 'tests:' line")
    words = head[0][6:].split(" in ")
    tests, tier = words[0].strip(), (words[1].strip() if len(words) > 1 else "host")
    bugs = []
    for block in blocks[1:] if len(blocks[0]) <= 2 else blocks:
        lines = [l for l in block if not l.startswith(("tests:", "#"))]
        if not lines:
            continue
        file = [l[5:].strip() for l in lines if l.startswith("file ")]
        old = [l[2:] for l in lines if l.startswith("- ") or l == "-"]
        new = [l[2:] for l in lines if l.startswith("+ ") or l == "+"]
        words = [l for l in lines if not l.startswith(("file ", "- ", "+ ")) and l not in ("-", "+")]
        if len(file) != 1 or not old:
            raise SystemExit(f"{path}: a bug needs one 'file' line and '- ' lines:\n" + "\n".join(block))
        bugs.append((" ".join(words), file[0], "\n".join(old), "\n".join(new)))
    return tests, tier, bugs


def run(*command, **more):
    return subprocess.run(command, cwd=WORK, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def prepare():
    files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = [f for f in files.stdout.split("\0") if f]
    for f in wanted:
        source, target = ROOT / f, WORK / f
        if source.is_file() and (not target.is_file() or target.read_bytes() != source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    if run("cmake", "--preset", "test").returncode:
        raise SystemExit("cannot configure the copy")


def main():
    names = sys.argv[1:] or sorted(p.stem for p in (ROOT / "tests/mutations").glob("*.txt"))
    prepare()
    environment = dict(os.environ, OMP_NUM_THREADS="2")
    caught = total = 0
    for name in names:
        tests, tier, bugs = parse(ROOT / "tests/mutations" / f"{name}.txt")
        build = ["cmake", "--build", "--preset", "test", "--target", f"test_{tier}"]
        test = [f"build/test/tests/test_{tier}", f"-tc={tests}"]
        clean = run(*build)
        ok = clean.returncode == 0 and run(*test, env=environment)
        if not ok or ok.returncode or "\n0 passed" in ok.stdout:
            raise SystemExit(f"{name}: the tests do not pass before anything is planted\n{(ok or clean).stdout[-2000:]}")
        for words, file, old, new in bugs:
            total += 1
            path, text = WORK / file, (WORK / file).read_text()
            if text.count(old) != 1:
                print(f"STALE   {name}: {words}: the text occurs {text.count(old)} times in {file}")
                continue
            path.write_text(text.replace(old, new))
            built = run(*build)
            if built.returncode:
                verdict = "NOBUILD"
            else:
                try:
                    verdict = "caught" if run(*test, env=environment, timeout=300).returncode else "MISSED"
                except subprocess.TimeoutExpired:
                    verdict = "caught"
            path.write_text(text)
            caught += verdict == "caught"
            print(f"{verdict:7s} {name}: {words}", flush=True)
    print(f"{caught} of {total} caught")
    return caught != total


sys.exit(main())
