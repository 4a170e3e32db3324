"""Jobs as forks of one process that made the imports, torch alone more than a second of them.

Snakemake's own process calls `start` before the first job of a run. A job of one thread on the same
machine hands itself over: the process with the imports forks, and the fork runs the script from its
first line, with the library as it stands then. Only other packages were imported before. A job for
which there is no such process runs by itself. A fork ends with the process that handed itself over,
and both end with Snakemake.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import NoReturn

# For jobs: the pid of their Snakemake, and the socket. For Snakemake: "off", where none is wanted.
PLACE = "COBAYE_FORKS"
# Fewer jobs take less time by themselves than the imports do.
FEWEST = 6
IMPORTS = (
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf"),
    *("matplotlib.backends.backend_svg", "matplotlib.figure", "pandas", "psutil"),
    *("pyarrow.parquet", "scipy.optimize", "scipy.stats", "snakemake.iocontainers", "torch"),
)
# Read when torch and NumPy are imported: jobs of other numbers of threads run by themselves.
ONE_THREAD = dict.fromkeys(
    [f"{library}_NUM_THREADS" for library in ("OMP", "GOTO", "OPENBLAS", "MKL", "NUMEXPR")], "1"
)
# Of a progress bar, in seconds: a log is read, not watched. Read when tqdm is imported.
PROGRESS = ("TQDM_MININTERVAL", "10")


def start(jobs: int) -> None:
    """Have the jobs of this process be forks, where there are enough of them."""
    if os.environ.pop(PLACE, None) == "off" or not hasattr(os, "pidfd_open"):
        return
    if jobs >= FEWEST and (served := serve()):
        os.environ[PLACE] = f"{os.getpid()} {served[1]}"


def serve() -> tuple[subprocess.Popen, str] | None:
    """Start the process with the imports, which ends with this one; return it and its socket.

    None where there can be no such socket.
    """
    place = f"{tempfile.mkdtemp()}/forks"
    with socket.socket(socket.AF_UNIX) as door, contextlib.suppress(OSError):
        door.bind(place)
        door.listen(128)
        process = subprocess.Popen(
            [sys.executable, __file__, str(door.fileno()), place],
            env={**dict([PROGRESS]), **os.environ, **ONE_THREAD},
            stdin=subprocess.PIPE,  # closed with this process
            pass_fds=[door.fileno()],
        )
        atexit.register(process.communicate)
        return process, place
    shutil.rmtree(Path(place).parent)
    return None


def hand_over() -> None:
    """Run this script as a fork, and end as it does; return if there is nobody to fork."""
    pid, _, place = os.environ.pop(PLACE, "").partition(" ")
    if pid not in _started_by() or os.environ.get("OMP_NUM_THREADS") != "1":
        return
    told = json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.connect(place)
            socket.send_fds(asked, [len(told).to_bytes(8, "big")], [0, 1, 2])
            asked.sendall(told)
            begun = asked.recv(1)
        except OSError:
            return
        if begun:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            status = asked.recv(1)
            os._exit(status[0] if status else 1)


def _started_by() -> list[str]:
    """Return the process that started this one, and the one before, as there may be a shell."""
    parent = str(os.getppid())
    with contextlib.suppress(OSError, IndexError):
        return [parent, Path("/proc", parent, "stat").read_text().rpartition(")")[2].split()[1]]
    return [parent]


def leave(status: int = 0) -> NoReturn:
    """End this process as Python does, but for the half second that it takes to clear torch."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _fork_for_each(door: socket.socket) -> None:
    """Fork for each script that hands itself over, until the input ends."""
    events = selectors.DefaultSelector()
    for each in (sys.stdin, door):
        events.register(each, selectors.EVENT_READ)
    while True:
        key, _ = events.select()[0]  # one at a time: it may be the end of others
        if key.fileobj is sys.stdin:
            return
        if key.fileobj is door:
            _begin(events, door.accept()[0])
        else:
            _end(events, *key.data)


def _begin(events: selectors.BaseSelector, asked: socket.socket) -> None:
    asked.settimeout(10)
    with contextlib.suppress(OSError):
        length, streams, *_ = socket.recv_fds(asked, 8, 3)
        told = b""
        while len(told) < int.from_bytes(length, "big") and (more := asked.recv(1 << 20)):
            told += more
        asked.sendall(b"+")
        if (child := os.fork()) == 0:
            try:
                for each in [*events.get_map().values()]:
                    os.close(each.fd)
                events.close()
                asked.close()
                _be(*json.loads(told), streams)
            finally:
                os._exit(1)
        for stream in streams:
            os.close(stream)
        ended = os.pidfd_open(child)
        for each in (asked, ended):
            events.register(each, selectors.EVENT_READ, (child, asked, ended))


def _end(events: selectors.BaseSelector, child: int, asked: socket.socket, ended: int) -> None:
    """End a fork whose script is gone, and tell a script how its fork ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)  # a fork that has ended is past that
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        asked.sendall(bytes([code if code >= 0 else 128 - code]))
    for each in (asked, ended):
        events.unregister(each)
    asked.close()
    os.close(ended)


def _be(arguments: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> None:
    """Be the process of a script, to its end."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    script = Path(arguments[0]).absolute()
    # Snakemake's copy of train.py is tmp….train.py: the name that `top` shows.
    Path("/proc/self/comm").write_text(script.stem.rpartition(".")[2])
    sys.argv, sys.path[0] = arguments, str(script.parent)
    status: object = 0
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
        if isinstance(status, str):
            print(status, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    leave(status if isinstance(status, int) else 1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: its jobs get one too
    for name in IMPORTS:
        __import__(name)
    gc.freeze()
    try:
        with socket.socket(fileno=int(sys.argv[1])) as at_the_door:
            _fork_for_each(at_the_door)
    finally:
        shutil.rmtree(Path(sys.argv[2]).parent, ignore_errors=True)
        os._exit(0)
