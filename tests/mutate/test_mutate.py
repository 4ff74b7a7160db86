# tests/mutate/test_mutate.py — what is left alone, what each operator does, that the choice is a stable one, and that
# nothing goes on running.
import tempfile, threading, time, unittest
from pathlib import Path

import bugs as B
import farm
from operators import OPERATORS
from source import calls_cuda, masked

# operator: (line as it stands, one of the lines it must make of it)
EXAMPLES = {
    "change a bound by one": ("while (i < n) f();", "while (i <= n) f();"),
    "turn an equality round": ("x = a == b;", "x = a != b;"),
    "swap and and or": ("x = a && b;", "x = a || b;"),
    "swap plus and minus": ("x = a + b;", "x = a - b;"),
    "swap times and divided by": ("x = a * b;", "x = a / b;"),
    "swap write and add": ("m = GradMode::add;", "m = GradMode::write;"),
    "write instead of add": ("x += y;", "x = y;"),
    "swap minimum and maximum": ("x = std::min(a, b);", "x = std::max(a, b);"),
    "swap true and false": ("on = true;", "on = false;"),
    "swap begin and end": ("x = v.front();", "x = v.back();"),
    "stop or go on": ("if (x) continue;", "if (x) break;"),
    "add one to a number": ("x = v[2];", "x = v[(2 + 1)];"),
    "one per cent more": ("x = 0.5f;", "x = (0.5f * 1.01f);"),
    "skip the last": ("for (int i = f(0); i < g(n); ++i)", "for (int i = f(0); i < g(n) - 1; ++i)"),
    "skip a tail": ("for_vectors(d, n, f);", "for_vectors(d, n - 1, f);"),
    "round down instead of up": ("x = ceil_div(a + 1, f(b));", "x = ((a + 1) / (f(b)));"),
    "skip a tail: the loop over the rest": ("for (; i < n; ++i) f(i);", ";"),
    "drop a term": ("x = a + b[i];", "x = a;"),
    "drop a condition": ("if (a && f(b, c)) g();", "if (a) g();"),
    "drop a guard": ("if (f(x)) return false;", ";"),
    "turn a condition round": ("if (f(x)) g();", "if (!(f(x))) g();"),
    "drop a statement": ("{\n  f(x);\n}", "{\n  ;\n}"),
}


def made(line):
    return {(bug.words, bug.new) for bug in B.generate("file.cpp", line)}


def gone(pid):
    """Whether a process ends, or has ended and nobody asked how."""
    path = Path("/proc") / pid.strip() / "stat"
    for _ in range(500):
        try:
            if path.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


class Mutate(unittest.TestCase):
    def test_every_operator_does_what_its_name_says(self):
        self.assertEqual(set(EXAMPLES), set(OPERATORS))
        for name, (line, wanted) in EXAMPLES.items():
            results = [text if "\n" not in wanted else line.replace("  f(x);", text)
                       for words, text in made(line) if words == name]
            self.assertIn(wanted, results, name)

    def test_comments_strings_and_messages_are_left_alone(self):
        for line in ('// a + b', '/* a < b */', 'x = "a + b";', "c = '+';", '#if A == 1', 'throw Error(str(a + 1));',
                     "constexpr auto kBig = 100'000;", 'R"(a + b)"', "template <class T = 1>"):
            self.assertEqual(made(line) - {("drop a statement", ";")}, set(), line)
        self.assertEqual({new for _, new in made('BF_CHECK(a, "is ", b + 1);')}, {"(void)0;"})
        self.assertIn(("change a bound by one", 'BF_CHECK(a <= b, c + 1);'), made('BF_CHECK(a < b, c + 1);'))
        text = 'f("a\\"b + c"); // d\ng(\'"\' + 1);'
        self.assertEqual(len(masked(text)), len(text))
        self.assertEqual([c in "+" for c in masked(text)].index(True), text.rindex("+"))

    def test_what_only_a_gpu_executes_is_known_by_its_includes(self):
        for header in ('"engine/cuda_check.h"', "<cudnn.h>", "<cublasLt.h>", "<cuda_runtime.h>", "<nccl.h>"):
            self.assertTrue(calls_cuda(f"// file\n#include {header}\n"), header)
        for header in ('"engine/cuda_runtime.h"', '"kernels/conv2d/cudnn_conv.h"', "<cmath>", "<gloo/context.h>"):
            self.assertFalse(calls_cuda(f"#include {header}\n"), header)

    def test_lines_keep_their_numbers(self):
        for bug in B.generate("file.cpp", "  if (a &&\n      b)\n    throw Error(c);\n  x = 1;\n"):
            self.assertEqual(bug.old.count("\n"), bug.new.count("\n"), bug)

    def test_the_choice_does_not_move_with_the_lines_around(self):
        text = "int f(int a) {\n  if (a < 3) return 0;\n  a += 2;\n  return a;\n}\n"
        keys = [bug.key for bug in B.shuffled(B.generate("file.cpp", text))]
        moved = B.shuffled(B.generate("file.cpp", "// new\n\n" + text.replace("  a +=", "    a +=")))
        self.assertEqual(keys, [bug.key for bug in moved])
        self.assertEqual(len(keys), len(set(keys)))

    def test_equal_lines_are_told_apart(self):
        text = "void f() {\n  ++a;\n}\nvoid g() {\n  ++a;\n}\n"
        bugs = [bug for bug in B.generate("file.cpp", text) if bug.words == "drop a statement"]
        self.assertEqual([bug.occurrence for bug in bugs], [1, 2])
        self.assertEqual(bugs[1].planted(text), "void f() {\n  ++a;\n}\nvoid g() {\n  ;\n}\n")

    def test_a_printed_bug_can_be_read_back(self):
        text = "void f() {\n  if (a &&\n      b)\n    return;\n  ++a;\n}\nvoid g() {\n  ++a;\n}\n"
        bugs = B.generate("file.cpp", text)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("# words\n\n" + "\n\n".join(bug.listed("because") for bug in bugs) + "\n")
            file.flush()
            _, _, read = B.parse(Path(file.name))
        self.assertEqual([bug.key for bug in read], [bug.key for bug in bugs])

    def test_what_a_program_started_ends_with_it(self):
        self.assertTrue(gone(farm.run(["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!; exit 3"], ".")[1]))

    def test_an_interrupted_run_leaves_nothing_behind(self):
        with tempfile.NamedTemporaryFile("r") as file:
            def run():
                with self.assertRaises(KeyboardInterrupt):
                    farm.run(["sh", "-c", f"sleep 600 & echo $! > {file.name}; wait"], ".")
            thread = threading.Thread(target=run)
            thread.start()
            while not (child := file.read()).endswith("\n"):
                file.seek(0)
                time.sleep(0.01)
            farm.stop.set()
            thread.join()
            farm.stop.clear()
        self.assertTrue(gone(child))


if __name__ == "__main__":
    unittest.main()
