"""A Snakemake, and jobs, whose imports were made once: each is a fork that begins after them.

Run as a program, it does what a line of its input asks for, as JSON: a call of Snakemake, or with
``jobs`` the scripts that such a call runs, which come over a socket. The library of a project is
not among what was imported. Tests that kill, trace or limit processes start cold ones.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

PATIENCE = 600
# Of a processor, that the calls so far took: the programs waited for them, not this process.
seconds = 0.0

# Imported once for all jobs; what a script imports beside them, it imports itself.
FOR_JOBS = (
    *("matplotlib.figure", "pandas", "psutil", "pyarrow.parquet", "torch", "torchvision"),
    "tqdm.std",
)
# In the place of Python for a call of Snakemake: a script goes to the program, all else to Python.
CLIENT = """#!{python} -IS
import json, os, socket, sys
if len(sys.argv) != 2 or "/.snakemake/scripts/" not in sys.argv[1]:
    os.execv("{python}", ["{python}", *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect("{place}")
    told = json.dumps([sys.argv[1], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(asked, [len(told).to_bytes(8, "big")], [0, 1, 2])
    asked.sendall(told)
    status = asked.recv(1)
sys.exit(status[0] if status else 1)
"""


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run ``python -m snakemake`` in a folder; return its exit status and all that it printed."""
    global seconds
    with tempfile.TemporaryDirectory() as place:
        printed = [Path(place, name) for name in ("stdout", "stderr")]
        told = [str(_jobs()), arguments, str(folder), environment, *map(str, printed)]
        process = _program()
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], PATIENCE)[0], f"no end of {arguments}"
        status, taken = json.loads(process.stdout.readline())
        seconds += taken + sum(map(float, (_jobs().parent / "seconds").read_text().split()))
        (_jobs().parent / "seconds").write_text("")
        return status, "".join(path.read_text() for path in printed)


def _started(*arguments: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.warm", *arguments],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)
    return process


_program = functools.cache(_started)


@functools.cache
def _jobs() -> Path:
    """Start the program for jobs; return what stands for Python where they are called."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    client, place = Path(folder.name, "python"), Path(folder.name, "socket")
    client.write_text(CLIENT.format(python=sys.executable, place=place))
    client.chmod(client.stat().st_mode | stat.S_IXUSR)
    (place.parent / "seconds").touch()
    assert _started("jobs", str(place)).stdout.readline() == "ready\n"
    return client


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
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            return _become(*json.loads(line))
        _, status, used = os.wait4(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime]))
        sys.stdout.flush()
    return None


def jobs(place: str) -> None:
    """Run scripts, each in a fork, until the input ends."""
    for name in FOR_JOBS:
        __import__(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(place)
        door.listen()
        print("ready", flush=True)
        while door in select.select([door, sys.stdin], [], [])[0]:
            asked, _ = door.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os._exit(_serve(asked, Path(place).parent / "seconds"))
            asked.close()


def _serve(asked: socket.socket, seconds_of: Path) -> int:
    """Run the script that a client asks for, and end it if the client goes."""
    length, streams, *_ = socket.recv_fds(asked, 8, 3)
    told = b""
    while len(told) < int.from_bytes(length, "big"):
        told += asked.recv(1 << 20)
    child = os.fork()
    if child == 0:
        asked.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        script, folder, environment = json.loads(told)
        _be_in(folder, environment)
        # tqdm read its variable when it was imported. Not given, it is what `_worker` sets.
        interval = float(environment.get("TQDM_MININTERVAL", 10))
        vars(sys.modules["tqdm.std"].tqdm)["__init__"].keywords["mininterval"] = interval
        sys.argv, sys.path[0] = [script], str(Path(script).parent)
        sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        return _run(script)
    for stream in streams:
        os.close(stream)
    ended = 0
    while not ended:
        if select.select([asked], [], [], 0.01)[0]:  # only the end of the client comes now
            os.kill(child, signal.SIGKILL)
        ended, status, used = os.wait4(child, os.WNOHANG)
    with open(seconds_of, "a") as file:
        file.write(f"{used.ru_utime + used.ru_stime}\n")
    code = os.waitstatus_to_exitcode(status)
    asked.sendall(bytes([code if code >= 0 else 128 - code]))
    return 0


def _run(script: str) -> int:
    """Run a script to its end, as Python does, but for the seconds that it takes to clear torch."""
    status: object = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["jobs"]:
        jobs(sys.argv[2])
        os._exit(0)
    calls()
