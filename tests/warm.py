"""A Snakemake whose imports were made once: each call is a fork that begins after them.

Run as a program, it reads a call per line of its input, as JSON, and answers with the exit status
and the seconds of processor of each. The library of a project is not among what was imported.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import runpy
import select
import subprocess
import sys
import tempfile
from pathlib import Path

PATIENCE = 600
# Of a processor, that the calls so far took: the program waited for them, not this process.
seconds = 0.0


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run ``python -m snakemake`` in a folder; return its exit status and all that it printed."""
    global seconds
    with tempfile.TemporaryDirectory() as place:
        printed = [Path(place, name) for name in ("stdout", "stderr")]
        told = [arguments, str(folder), environment, *map(str, printed)]
        process = _program()
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], PATIENCE)[0], f"no end of {arguments}"
        status, taken = json.loads(process.stdout.readline())
        seconds += taken
        return status, "".join(path.read_text() for path in printed)


@functools.cache
def _program() -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.warm"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)
    return process


def _become(arguments: list[str], folder: str, environment: dict[str, str], *printed: str) -> None:
    """Be the process that ``python -m snakemake`` would be, until it ends."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(printed, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    sys.argv = ["snakemake", *arguments]
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


def main() -> None:
    """Answer calls."""
    from snakemake import cli

    cli.get_argument_parser()  # it imports most of what a call does
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            return _become(*json.loads(line))
        _, status, used = os.wait4(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime]))
        sys.stdout.flush()
    return None


if __name__ == "__main__":
    main()
