# tests/mutate/farm.py — compiles one changed file beside the finished test build, links it in, and runs the tests.
"""Nothing is copied and nothing in build/test changes: the changed file lies in a folder of its own that the compiler
searches first, and its object file is linked before the library that has the sound one."""
import contextlib, json, math, os, re, resource, shlex, shutil, signal, subprocess, tempfile, threading, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "test"
WORK = ROOT / "build" / "mutate"
MOST_OBJECTS = 6      # a header that more object files include is left alone: compiling them all takes too long
MEMORY = 4 << 30      # a bug may ask for more than there is


IDLE = 15             # seconds without a thread that runs or wants to: a deadlock
stop = threading.Event()  # set: everything that runs is killed, and whatever starts after it


def progress(pid):
    """(does anything run or want to, clock ticks of the processor used so far) of a process, its threads and children."""
    running, ticks = False, 0
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            children = (task / "children").read_text().split()
        except OSError:
            continue  # it has just ended
        running |= fields[0] in "RD"
        ticks += int(fields[11]) + int(fields[12])
        for child in children:
            more = progress(child)
            running, ticks = running | more[0], ticks + more[1]
    return running, ticks


def run(command, cwd, seconds=None, **more):
    """(exit code, output, processor seconds). The code is None when it used more than `seconds` of the processor's time,
    or when nothing in it moves any more; how long that takes by the clock says more about what else the machine does."""
    def limits():
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))  # not addresses: the emulated GPU reserves many
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if seconds:
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))

    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   start_new_session=True, preexec_fn=limits, **more)
        used, idle, pause, hung = 0, 0.0, 0.01, False
        try:
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                if stop.wait(pause):
                    process.kill()
                    process.wait()
                    raise KeyboardInterrupt
                running, ticks = progress(process.pid)
                idle = idle + pause if seconds and not running and ticks == used else 0.0
                used, pause = ticks, min(1.0, 1.5 * pause)
                if idle > IDLE and not hung:
                    hung = True
                    os.killpg(process.pid, signal.SIGKILL)
        finally:
            with contextlib.suppress(ProcessLookupError):  # what it started may outlive it
                os.killpg(process.pid, signal.SIGKILL)
        code = process.returncode = os.waitstatus_to_exitcode(status)
        if hung or code == -signal.SIGXCPU:
            code = None
        output.seek(0)
        return code, output.read(), usage.ru_utime + usage.ru_stime


class Farm:
    def __init__(self):
        self.commands = {}  # object file -> the words that compile it
        for entry in json.loads((BUILD / "compile_commands.json").read_text()):
            words = shlex.split(entry["command"])
            self.commands[words[words.index("-o") + 1]] = words
        self.users = {}  # file of the repository -> the object files made from it
        deps = subprocess.run(["ninja", "-t", "deps"], cwd=BUILD, capture_output=True, text=True, check=True).stdout
        for block in deps.split("\n\n"):
            lines = block.splitlines()
            for line in lines[1:]:
                path = os.path.normpath(BUILD / line.strip())
                if path.startswith(f"{ROOT}/"):
                    self.users.setdefault(os.path.relpath(path, ROOT), set()).add(lines[0].split(":")[0])
        self.links = {}
        self.clean_runs, self.clean_locks = {}, {}
        self.lock = threading.Lock()
        self.launcher = [shutil.which("ccache")] if shutil.which("ccache") else []
        self.linker = ["-fuse-ld=lld"] if shutil.which("ld.lld") else []

    def link(self, tier):
        with self.lock:
            if tier not in self.links:
                lines = subprocess.run(["ninja", "-t", "commands", f"tests/test_{tier}"], cwd=BUILD, capture_output=True, text=True,
                                       check=True).stdout.splitlines()
                words = [w for w in shlex.split(lines[-1]) if w not in (":", "&&")]
                self.links[tier] = words
        return self.links[tier]

    def objects(self, file, tier):
        """What to compile again: of the library, and of this tier's tests."""
        linked = self.link(tier)
        libraries = "_images|_emulator" + ("|_commands" if tier == "e2e" else "")  # what the others link of the program is not their subject
        return sorted(o for o in self.users.get(file, ()) if o in linked or re.match(rf"CMakeFiles/bonafide({libraries})?\.dir/", o))

    def compile(self, obj, folder):
        """Object file in the folder, or None if it does not compile."""
        words = list(self.commands[obj])
        out = folder / "objects" / obj.replace("/", "_")
        words[words.index("-o") + 1] = str(out)
        source = words.index("-c") + 1
        changed = folder / os.path.relpath(words[source], ROOT)
        if changed.is_file():
            words[source] = str(changed)
        words[1:1] = ["-w", f"-iquote{folder}"]
        words.append(f"-ffile-prefix-map={folder}/=")  # messages name files as in the sound build
        code, _, _ = run(self.launcher + words, BUILD)
        return out if code == 0 else None

    def same_code(self, file, folder, made):
        """Does the sound file compile to the very same? Then there is nothing to notice."""
        changed = {obj: out.read_bytes() for obj, out in made.items()}
        shutil.copy(ROOT / file, folder / file)
        return all(self.compile(obj, folder).read_bytes() == code for obj, code in changed.items())

    def test(self, program, filters, folder, seconds=None):
        environment = dict(os.environ, OMP_NUM_THREADS="1", TMPDIR=str(folder / "tmp"))
        return run([str(program), "-aa=1", *filters], BUILD, seconds, env=environment)

    def clean_run(self, tier, filters):
        """Processor seconds of the tests when nothing is planted. They must pass, and there must be some."""
        key = (tier, tuple(filters))
        with self.lock:
            one = self.clean_locks.setdefault(key, threading.Lock())
        with one:
            if key not in self.clean_runs:
                folder = WORK / "clean"
                (folder / "tmp").mkdir(parents=True, exist_ok=True)
                code, output, seconds = self.test(BUILD / "tests" / f"test_{tier}", filters, folder)
                if code != 0 or "\n0 passed" in output:
                    raise SystemExit(f"test_{tier} {' '.join(filters)}: no pass before anything is planted\n{output[-2000:]}")
                self.clean_runs[key] = seconds
        return self.clean_runs[key]

    def plant(self, file, text, name, tier, stages):
        """The verdict on one bug: `caught`, `hung`, `SURVIVED`, `no build`, or `same code` when the compiler makes the
        same machine code of it. `stages` are lists of doctest filters, tried in turn until one catches it."""
        folder = WORK / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "objects").mkdir(parents=True)
        (folder / "tmp").mkdir()
        try:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
            made = {obj: self.compile(obj, folder) for obj in self.objects(file, tier)}
            if not made or None in made.values():
                return "no build"
            program = folder / "tests"
            words = [str(made[w]) if w in made else w for w in self.link(tier)]
            words[words.index("-o") + 1] = str(program)
            words[1:1] = self.linker + [str(out) for obj, out in made.items() if obj not in self.link(tier)]
            code, _, _ = run(words, BUILD)
            if code != 0:
                return "no build"
            for filters in stages:
                code, _, _ = self.test(program, filters, folder, 5 + 3 * self.clean_run(tier, filters))
                if code != 0:
                    return "hung" if code is None else "caught"
            return "same code" if self.same_code(file, folder, made) else "SURVIVED"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
