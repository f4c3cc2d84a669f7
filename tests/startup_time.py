"""How long commands take that nobody wants to wait for: ``python tests/startup_time.py [rounds]``.

Medians over rounds, in turn with a bare interpreter: wall-clock and CPU seconds of the process and its children, and
the ratio of both CPU times, which says the same on a busy machine.
"""

import resource
import statistics
import subprocess
import sys
import time

COMMANDS = ("--help", "--version", "list models", "list suites", "list samplers", "list metrics", "list grids",
            "list extractors", "show ddim", "show quickstart")  # fmt: skip


def spent(arguments):
    """Wall-clock and CPU seconds of one process."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def main(rounds):
    """Print a line for each command."""
    print(f"{'command':18} {'wall s':>7} {'CPU s':>7} {'bare s':>7} {'ratio':>6}   medians of {rounds}")
    for command in COMMANDS:
        pairs = [(spent(["-c", "pass"]), spent(["-m", "diffbench", *command.split()])) for _ in range(rounds)]
        wall, cpu, bare = (
            statistics.median(values)
            for values in zip(*((own[0], own[1], bare[1]) for bare, own in pairs), strict=True)
        )
        print(f"{command:18} {wall:7.3f} {cpu:7.3f} {bare:7.3f} {cpu / bare:6.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
