# tests/mutate/operators.py — the ways to break a line. Each finds its places in a mask (source.py) by itself.
"""An operator is a generator of (start, end, replacement) over (mask, text), registered under its name; what it yields
replaces text[start:end]. It may yield what does not compile: that is found out and not counted. To add one, write it."""
import re

from source import end_of

OPERATORS = {}


def operator(name):
    def register(find):
        OPERATORS[name] = find
        return find
    return register


def exchange(name, pairs):
    """Each left-hand text becomes the right-hand one, and the other way round."""
    both = {**{b: a for a, b in pairs.items()}, **pairs}
    pattern = re.compile("|".join(re.escape(k) for k in sorted(both, key=len, reverse=True)))
    OPERATORS[name] = lambda mask, text: ((m.start(), m.end(), both[m.group()]) for m in pattern.finditer(mask))


def numbered(name, pattern, replacement):
    """A pattern whose group 1 is replaced; \\0 in the replacement stands for what was there."""
    compiled = re.compile(pattern)
    OPERATORS[name] = lambda mask, text: (
        (m.start(1), m.end(1), replacement.replace("\\0", m.group(1))) for m in compiled.finditer(mask))


# Spaces make the operator: clang-format puts none inside template arguments.
exchange("change a bound by one", {" < ": " <= ", " > ": " >= "})
exchange("turn an equality round", {" == ": " != "})
exchange("swap and and or", {" && ": " || "})
exchange("swap plus and minus", {" + ": " - ", " += ": " -= ", "hn::Add(": "hn::Sub(", "hn::MulAdd(": "hn::NegMulAdd("})
exchange("swap times and divided by", {" * ": " / ", "hn::Mul(": "hn::Div("})
exchange("swap write and add", {"GradMode::write": "GradMode::add"})
numbered("write instead of add", r"( \+= )", " = ")
exchange("swap minimum and maximum", {"std::min(": "std::max(", "hn::Min(": "hn::Max(", "std::min<": "std::max<"})
exchange("swap true and false", {"true": "false"})
exchange("swap begin and end", {".front()": ".back()", ".begin": ".end", "lower_bound": "upper_bound"})
exchange("stop or go on", {"continue;": "break;"})
numbered("add one to a number", r"(?<![\w.'<])(\d+)(?![\w.'])", "(\\0 + 1)")
numbered("one per cent more", r"(?<![\w.])(?!0\.0?f?(?![\w.]))(\d+\.\d*(?:e[-+]?\d+)?f?)(?![\w.])", "(\\0 * 1.01f)")
numbered("skip the last", r"\bfor \([^;{}]*; *\w+ < ([^;{}]+);", "\\0 - 1")
numbered("skip a tail", r"\b(?:for_vectors\(\w+|parallel_for\(|parallel_ranges\()(?:, )?([^,;{}]+)(?=,)", "\\0 - 1")


@operator("round down instead of up")
def _(mask, text):
    for m in re.finditer(r"\bceil_div(?:<[\w:]+>)?\(", mask):
        comma = end_of(mask, m.end(), ",")
        if mask[comma] == ",":
            close = end_of(mask, comma + 1, ",")
            yield m.start(), close + 1, f"(({text[m.end():comma]}) / ({text[comma + 1:close].strip()}))"


@operator("skip a tail: the loop over the rest")
def _(mask, text):
    for m in re.finditer(r"\b(?:for|while) \((?=;|\w+ < \w+\))", mask):
        close = end_of(mask, m.end(), "")
        if mask[close + 1:close + 3] != " {":
            yield m.start(), end_of(mask, close + 1, ";") + 1, ";"


@operator("drop a term")
def _(mask, text):
    for m in re.finditer(r" [-+*] (?=[\w(])", mask):
        stop = end_of(mask, m.end(), " ,;")
        if not mask[stop:].startswith((" * ", " / ", " % ", " << ", " >> ")) and mask[m.start() - 1] != ",":
            yield m.start(), stop, ""


@operator("drop a condition")
def _(mask, text):
    for m in re.finditer(r" (&&|\|\|)\s", mask):
        at = m.end()
        while True:
            stop = end_of(mask, at, ",;?&|")
            if mask[stop] in "&|" and mask[stop:stop + 2] not in ("&&", "||"):
                at = stop + 1
                continue
            break
        yield m.start(), stop - (mask[stop] in "&|?"), ""


@operator("drop a guard")
def _(mask, text):
    for m in re.finditer(r"\bif (?:constexpr )?\(", mask):
        close = end_of(mask, m.end(), "")
        body = re.compile(r"\s*(?:return\b|throw\b|continue;|break;|fail\(|refuse\()").match(mask, close + 1)
        if body and not re.search(r"\belse\s*$", mask[:m.start()]):
            stop = end_of(mask, close + 1, ";") + 1
            if not re.match(r"\s*else\b", mask[stop:]):
                yield m.start(), stop, ";"
    for m in re.finditer(r"\bBF_CHECK\(|\bneed\(", mask):
        yield m.start(), end_of(mask, m.end(), "") + 1, "(void)0"


@operator("turn a condition round")
def _(mask, text):
    for m in re.finditer(r"\bif \((?!const |auto |[^;()]*; )", mask):
        close = end_of(mask, m.end(), ";")
        if mask[close] == ")":
            yield m.end(), close, f"!({text[m.end():close]})"


@operator("drop a statement")
def _(mask, text):
    words = r"(?!return|using|case|break|continue|goto|delete|default|else|if|for|while|do|switch|try|throw|namespace|BF_CHECK|need)"
    for m in re.finditer(rf"(?<=[;{{}}])(\s*\n[ \t]+)({words}(?:\+\+|--|\*)?[\w:.]+(?:->|[\w:.]|\[[^\[\]\n]*\])*(?:\(| ?[-+*/|&^]?= |;|, ))", mask):
        stop = end_of(mask, m.start(2), ";")
        statement = mask[m.start(2):stop]
        if mask[stop:stop + 1] == ";" and not re.search(r"= (?:default|delete|0)$|\breserve\(", statement):
            yield m.start(2), stop + 1, ";"
    for m in re.finditer(r"\b(?:if|for) \(", mask):  # the statement below a condition or a loop, without braces
        close = end_of(mask, m.end(), "")
        at = close + 1 + len(re.match(r"\s*", mask[close + 1:]).group())
        if at < len(mask) and mask[at] != "{" and not re.match(r"return|throw|continue|break|if|for|while|fail|refuse|const ", mask[at:]):
            yield at, end_of(mask, at, ";") + 1, ";"
