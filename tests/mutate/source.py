# tests/mutate/source.py — what of a C++ file may be changed: a mask of the same length, blank wherever nothing counts.
"""Blank are comments, what stands between quotes, preprocessor lines, the words of error messages (the arguments of
BF_CHECK after its condition, and everything inside `throw ...;`), and the sizes of work items, kGrain: no result may depend
on them. Line breaks stay, so that positions are positions."""
import re

_TOKENS = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'|^[ \t]*\#(?:\\\n|[^\n])*",
    re.S | re.M)
_WORDS = re.compile(r"\bBF_CHECK\(|\b(?:throw|static_assert|constexpr std::int64_t kGrain)\b|\btemplate *<")
_OPEN, _CLOSE = "([{", ")]}"
_CUDA = re.compile(r'^#include (?:"engine/cuda_check\.h"|<(?:cuda|cublas|cudnn|nccl|nvToolsExt)\w*\.h>)', re.M)


def calls_cuda(text):
    """Does it include the headers of CUDA's libraries? Then a GPU has to execute it."""
    return bool(_CUDA.search(text))


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def end_of(mask, start, stops):
    """Position of the first of `stops` at the nesting depth of `start`, or of the bracket that ends that depth."""
    depth = 0
    for at in range(start, len(mask)):
        c = mask[at]
        if depth == 0 and (c in stops or c in _CLOSE):
            return at
        depth += (c in _OPEN) - (c in _CLOSE)
    return len(mask)


def masked(text):
    def quoted(match):
        token = match.group()
        return token[0] + _blank(token[1:-1]) + token[-1] if token[0] in "\"'" else _blank(token)

    mask = _TOKENS.sub(quoted, text)
    for match in list(_WORDS.finditer(mask)):
        start, end = match.end(), end_of(mask, match.end(), ";")
        if match.group() == "BF_CHECK(":
            start = end_of(mask, start, ",") + 1
        elif match.group().startswith("template"):
            start, end = match.start(), len(mask[:match.end()] + mask[match.end():].partition("\n")[0])
        mask = mask[:start] + _blank(mask[start:end]) + mask[end:]
    return mask


def code_lines(mask):
    return sum(bool(re.search(r"\w", line)) for line in mask.splitlines())
