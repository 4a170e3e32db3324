"""A Snakemake, and jobs, whose imports were made once: each is a fork that begins after them.

Jobs are forks of the process that the workflow itself has for them (`_forks`), one for all runs.
Run as a program, this does what a line of its input asks for, as JSON: a call of Snakemake. The
library of a project is not among what was imported. Tests that trace or limit processes, or kill
Snakemake, start cold ones.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import runpy
import select
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

PATIENCE = 600
ROOT = Path(__file__).parents[1]
# Of a processor, that the calls so far took: the programs waited for them, not this process.
seconds = 0.0
# What the last call left of the sources that it parsed: right for every project, see `keep_in`.
SOURCES = ".snakemake/cobaye-sources.json"
sources = b""

# In the place of Python for a call of Snakemake: it hands a script over before Python has begun.
CLIENT = """#!{python} -IS
import json, os, socket, sys
if len(sys.argv) != 2 or "/.snakemake/scripts/" not in sys.argv[1]:
    os.execv("{python}", ["{python}", *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect("{place}")
    told = json.dumps([[sys.argv[1]], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(asked, [len(told).to_bytes(8, "big")], [0, 1, 2])
    asked.sendall(told)
    begun, status = asked.recv(1), asked.recv(1)
sys.exit(status[0] if status else 1)
"""
# A process of the jobs' imports has read these: other values are for a job by itself.
READ = {name: os.environ.get(name) for name in ("PYTHONPATH", "TQDM_MININTERVAL")}


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run ``python -m snakemake`` in a folder; return its exit status and all that it printed."""
    global seconds, sources
    python, jobs = sys.executable, None
    parsed = folder / SOURCES
    if sources and not parsed.exists():
        parsed.parent.mkdir(exist_ok=True)
        parsed.write_bytes(sources)
    if all(environment.get(name) == value for name, value in READ.items()):
        python, jobs = _jobs()
        before = _seconds_of_forks(jobs)
    with tempfile.TemporaryDirectory() as place:
        printed = [Path(place, name) for name in ("stdout", "stderr")]
        told = [str(python), arguments, str(folder), {**environment, "COBAYE_FORKS": "off"}]
        process = _program()
        process.stdin.write(json.dumps([*told, *map(str, printed)]) + "\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], PATIENCE)[0], f"no end of {arguments}"
        status, taken = json.loads(process.stdout.readline())
        seconds += taken + (_seconds_of_forks(jobs) - before if jobs else 0)
        sources = parsed.read_bytes() if parsed.exists() else sources
        return status, "".join(path.read_text() for path in printed)


def script(file: Path) -> list[str]:
    """Return the command that runs a file of a folder ``.snakemake/scripts`` as a job is run."""
    return [str(_jobs()[0]), str(file)]


def _seconds_of_forks(jobs: subprocess.Popen) -> float:
    used = psutil.Process(jobs.pid).cpu_times()
    return used.children_user + used.children_system


@functools.cache
def _program() -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.warm"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)
    return process


@functools.cache
def _jobs() -> tuple[Path, subprocess.Popen]:
    """Start the process for jobs; return it, and what stands for Python where they are called."""
    process, place = runpy.run_path(str(ROOT / "workflow/scripts/_forks.py"))["serve"]()
    # No TemporaryDirectory: a fork that clears its atexit would remove it, and multiprocessing's do
    # since Python 3.13.
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    client = Path(folder, "python")
    client.write_text(CLIENT.format(python=sys.executable, place=place))
    client.chmod(client.stat().st_mode | stat.S_IXUSR)
    return client, process


def _become(
    python: str, arguments: list[str], folder: str, environment: dict[str, str], *printed: str
) -> None:
    """Be the process that ``python -m snakemake`` would be, until it ends."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(printed, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    _be_in(folder, environment)
    sys.executable, sys.path[0] = python, folder
    sys.argv = ["snakemake", *arguments]
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


def _be_in(folder: str, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)


def calls() -> None:
    """Answer calls of Snakemake."""
    from snakemake import cli

    cli.get_argument_parser()  # it imports most of what a call does
    for name in ("nbformat.v4", "nbformat.validator", "smart_open", "snakemake.storage"):
        with contextlib.suppress(ImportError):  # of a Snakemake that needs it no more
            importlib.import_module(name)
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            return _become(*json.loads(line))
        _, status, used = os.wait4(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime]))
        sys.stdout.flush()
    return None


if __name__ == "__main__":
    calls()
