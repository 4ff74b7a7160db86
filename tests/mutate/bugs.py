# tests/mutate/bugs.py — a planted bug, the text form of a list of them, and their generation.
import hashlib, re
from dataclasses import dataclass, field
from pathlib import Path

from operators import OPERATORS
from source import code_lines, masked


@dataclass(frozen=True)
class Bug:
    file: str
    words: str               # what is wrong; of a listed one, why nobody can tell
    old: str = field(compare=False)
    new: str = field(compare=False)
    at: int = 0              # position of `old` in the file; -1: `old` must occur exactly once
    occurrence: int = 1      # among the places of the file where the same lines become the same

    @property
    def key(self):
        """The same as long as the line is: what stands elsewhere in the file, and blanks, do not matter."""
        return self.file, squeezed(self.old), squeezed(self.new), self.occurrence

    def planted(self, text):
        if self.at >= 0:
            return text[:self.at] + self.new + text[self.at + len(self.old):]
        return text.replace(self.old, self.new) if text.count(self.old) == 1 else None

    def listed(self, words=None):
        """In the form of tests/mutations/*.txt."""
        file = self.file + (f" occurrence {self.occurrence}" if self.occurrence > 1 else "")
        lines = [words or self.words, "file " + file]
        lines += ["- " + line for line in self.old.splitlines()] + ["+ " + line for line in self.new.splitlines()]
        return "\n".join(lines)


def squeezed(text):
    return " ".join(text.split())


def parse(path):
    """(doctest filter, tier, bugs) of a list; a list without a `tests:` line has no filter."""
    tests, tier, bugs = None, "host", []
    for block in path.read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        for line in [line for line in lines if line.startswith("tests:")]:
            tests, _, where = line[6:].strip().partition(" in ")
            tier = where.strip() or tier
            lines.remove(line)
        if not lines:
            continue
        file = [line[5:].strip() for line in lines if line.startswith("file ")]
        old = [line[2:] for line in lines if line.startswith("- ") or line == "-"]
        new = [line[2:] for line in lines if line.startswith("+ ") or line == "+"]
        words = [line for line in lines if not re.match(r"file |[-+]( |$)", line)]
        if len(file) != 1 or not old or not words:
            raise SystemExit(f"{path}: a bug needs words, one 'file' line and '- ' lines:\n{block}")
        name, _, occurrence = file[0].partition(" occurrence ")
        bugs.append(Bug(name, " ".join(words), "\n".join(old), "\n".join(new), -1, int(occurrence or 1)))
    return tests, tier, bugs


def generate(file, text):
    """Every bug that the operators can plant in the file, each on whole lines, in the order of the text."""
    mask = masked(text)
    seen, found = {}, []
    for name, find in OPERATORS.items():
        for start, end, replacement in find(mask, text):
            replacement += "\n" * (text[start:end].count("\n") - replacement.count("\n"))  # messages name lines
            begin = text.rfind("\n", 0, start) + 1
            stop = text.find("\n", end)
            stop = len(text) if stop < 0 else stop
            old, new = text[begin:stop], text[begin:start] + replacement + text[end:stop]
            found.append((begin, start, name, old, new))
    bugs = []
    for begin, start, name, old, new in sorted(set(found)):
        same = (squeezed(old), squeezed(new))
        if same[0] == same[1]:
            continue
        seen[same] = seen.get(same, 0) + 1
        bugs.append(Bug(file, name, old, new, begin, seen[same]))
    return bugs


def shuffled(bugs):
    """Operators in turn, lines once before any twice; the order hangs on the text of each line alone."""
    def hashed(*words):
        return hashlib.sha256("\0".join(map(str, words)).encode()).hexdigest()

    by_operator = {}
    for bug in sorted(bugs, key=lambda b: hashed(b.words, *b.key)):
        # What guards an operation's arguments is one kind among the others, however it is broken.
        by_operator.setdefault("BF_CHECK" if "BF_CHECK" in bug.old else bug.words, []).append(bug)
    order = []
    for turn in range(max(map(len, by_operator.values()), default=0)):
        names = sorted((n for n in by_operator if turn < len(by_operator[n])), key=lambda n: hashed(n, bugs[0].file, turn))
        order += [by_operator[n][turn] for n in names]
    lines, first, later = set(), [], []
    for bug in order:
        (later if bug.at in lines else first).append(bug)
        lines.add(bug.at)
    return first + later


def quota(text, lines_per_bug):
    return max(1, round(code_lines(masked(text)) / lines_per_bug))
