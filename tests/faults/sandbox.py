"""Runs of a tiny suite in forked children that are killed, interrupted, or whose input and output fails."""

import builtins
import errno
import hashlib
import io
import os
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import diffbench.report.page  # noqa: F401  imported here once, not in every child
import diffbench.report.tables  # noqa: F401
import diffbench.runner.engine  # noqa: F401
from diffbench.cli import main
from diffbench.diffusion.denoiser import Denoised
from diffbench.runner import execute, loaded, provenance, sampling

PATH_CALLS = ("open", "replace", "link", "unlink", "mkdir", "stat", "scandir", "listdir")
DESCRIPTOR_CALLS = ("write", "fsync", "fchmod")

# What a run makes, without what tells of one execution only: its sessions, and what is made of them.
OF_ONE_EXECUTION = ("sessions", "provenance.json", "manifest.json", "timing.json")


@dataclass
class Outcome:
    """How a child ended: its exit code (minus the signal's number), and what it wrote."""

    code: int
    out: str
    err: str
    seconds: float


class Box:
    """A folder with a suite and its run; every command in it is a forked child."""

    def __init__(self, folder, checkpoint):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run = self.folder / "run"
        self.log = self.folder / "shards.log"
        self.suite = self.folder / "suite.yaml"
        self.suite.write_text(SUITE.format(checkpoint=checkpoint))

    def start(self, *arguments, before=lambda: None):
        """Fork a child that calls the command line; returns its process id."""
        sys.stdout.flush()
        sys.stderr.flush()
        for name in ("out", "err"):
            (self.folder / name).write_bytes(b"")
        child = os.fork()
        if child:
            return child
        code = 70
        try:
            os.chdir(self.folder)
            for name, descriptor in (("out", 1), ("err", 2)):
                target = os.open(self.folder / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
                os.dup2(target, descriptor)
            sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb"), write_through=True)
            sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb"), write_through=True)
            provenance.code_state = lambda: None
            _log_shards(self.log)
            _exact_model()
            sys.argv = ["diffbench", *map(str, arguments)]
            before()
            main()
            code = 0
        except SystemExit as leave:
            code = leave.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def wait(self, child, begin=0.0):
        """The outcome of a child."""
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        texts = [(self.folder / name).read_text() for name in ("out", "err")]
        return Outcome(code, *texts, time.perf_counter() - begin)

    def call(self, *arguments, before=lambda: None):
        """Run the command line in a child to its end."""
        begin = time.perf_counter()
        return self.wait(self.start(*arguments, before=before), begin)

    def sample(self, *more, before=lambda: None):
        """``run`` on the suite, without a report."""
        return self.call(
            "run", self.suite, "--out", self.run, "--quiet", *more, before=lambda: (without_report(), before())
        )

    def shards_begun(self):
        """How many shards were begun since the box was made."""
        return self.log.stat().st_size if self.log.exists() else 0

    def artefacts(self, run=None):
        """Relative path to sha256, of everything that does not tell of one execution only."""
        run = run or self.run
        return {
            path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(run.rglob("*"))
            if path.is_file()
            and path.relative_to(run).parts[0] not in OF_ONE_EXECUTION
            and not path.name.endswith(".tmp")
        }


SUITE = """
name: box
models: [{{id: tiny, source: "{checkpoint}"}}]
samplers: [ddim, ddpm]
budgets: {{nfe: [2]}}
samples: {{n: 11, shard: 4}}
metrics: [fid, is]
run: {{device: cpu, batch_size: 2, keep: {{samples: 6}}}}
timing: {{seconds: 0}}
"""
SHARDS = 6


def without_report():
    """Drawing takes longer than all the rest of so small a run, and has tests of its own."""
    from diffbench.report import page

    def touch(folder):
        (folder / "report.html").touch()
        return [folder / "report.html"]

    page.draw = touch


def _log_shards(log):
    made = execute.run_shard

    def logged(*arguments, **keywords):
        with builtins.open(log, "ab", buffering=0) as file:
            file.write(b".")
        return made(*arguments, **keywords)

    sampling.run_shard = logged


def _exact_model():
    """The denoiser of a Gaussian instead of the network, which is loaded nevertheless: these tests are about files."""
    read = loaded.load_model

    def denoise(x_hat, sigma):
        return Denoised(0.1 + (x_hat - 0.1) / (1 + 4 * sigma.float().view(-1, 1, 1, 1) ** 2))

    loaded.load_model = lambda *given, **named: replace(read(*given, **named), unclipped=denoise)


class Calls:
    """Counts the calls of the operating system that touch ``folders``; at number ``at`` it does ``act(name, call)``."""

    def __init__(self, folders, at=0, act=None, names=None):
        self.folders = [os.fspath(folder) for folder in folders]
        self.at, self.act, self.names = at, act, names
        self.count = 0
        self.descriptors = set()

    def install(self):
        """Take the place of the functions, in this (forked) process for good."""
        for name in PATH_CALLS:
            setattr(os, name, self._path_call(name, getattr(os, name)))
        for name in DESCRIPTOR_CALLS:
            setattr(os, name, self._descriptor_call(name, getattr(os, name)))
        io.open = builtins.open = self._path_call("read", io.open)

    def _inside(self, path):
        try:
            return os.path.abspath(os.fspath(path)).startswith(tuple(self.folders))
        except TypeError:
            return False

    def _due(self, name):
        if self.names is not None and name not in self.names:
            return False
        self.count += 1
        return self.count == self.at

    def _path_call(self, name, function):
        def call(path, *arguments, **keywords):
            if not isinstance(path, int) and self._inside(path) and self._due(name):
                return self.act(name, lambda: function(path, *arguments, **keywords))
            result = function(path, *arguments, **keywords)
            if name == "open" and self._inside(path):
                self.descriptors.add(result)
            return result

        return call

    def _descriptor_call(self, name, function):
        def call(descriptor, *arguments):
            if descriptor in self.descriptors and self._due(name):
                if name == "write" and self.act is kill:
                    function(descriptor, bytes(arguments[0])[: len(arguments[0]) // 2])
                return self.act(name, lambda: function(descriptor, *arguments))
            return function(descriptor, *arguments)

        return call


def kill(name, call):
    """The process ends here, as if the machine did; half of what was to be written has been."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail_with(number):
    """The call fails."""

    def fail(name, call):
        raise OSError(number, os.strerror(number), "injected")

    return fail


COUNTS: Counter[str] = Counter()
"""What the fault tests did, by name; printed at the end of the session."""

FAULTS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES}
