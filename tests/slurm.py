"""A real Slurm of one node, for the tests: Debian's daemons, on the loopback address, for a while.

Everything it writes is in one folder, and it speaks through ports and a socket of its own, so it
does not meet a Slurm that is there already.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Container, Iterator
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")

CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
ReturnToService=2
MinJobAge=3600
KillWait=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory={memory} Gres=gpu:1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Return why Slurm cannot be started here; nothing if it can."""
    if lacking := [name for name in PROGRAMS if program(name) is None]:
        return f"{', '.join(lacking)} not found: apt-get install slurm-wlm munge"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "snakemake-executor-plugin-slurm is not installed"
    if os.geteuid() != 0:
        return "the tests' Slurm runs jobs as root, and this is not root"
    return ""


def program(name: str) -> str | None:
    # Daemons are in sbin, which is not in everybody's PATH.
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class Slurm:
    """Its command line."""

    def __init__(self, folder: Path):
        self.folder = folder
        # Inside a job the plugin drops SLURM_CONF, so srun is told again.
        wrapper = folder / "bin/srun"
        wrapper.parent.mkdir()
        conf = folder / "slurm.conf"
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {program("srun")} "$@"\n')
        wrapper.chmod(0o755)
        path = f"{wrapper.parent}:{os.environ['PATH']}"
        self.environment = {"SLURM_CONF": str(conf), "PATH": path}

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def jobs(self) -> dict[str, tuple[str, str]]:
        """Return number → (state, comment: rule and wildcards) of all jobs, ended ones too."""
        lines = self.call("squeue", "--states=all", "--noheader", "--format=%i|%T|%k").splitlines()
        return {job: (state, comment) for job, state, comment in (s.split("|") for s in lines)}

    def states(self, before: Container[str]) -> dict[str, list[str]]:
        """Return rule → the states of its jobs, other than those before."""
        found: dict[str, list[str]] = {}
        for job, (state, comment) in self.jobs().items():
            if job in before:
                continue
            rule = comment.removeprefix("rule_").split("_wildcards_")[0]
            found.setdefault(rule, []).append(state)
        return found

    def job(self, *words: str) -> str:
        """Return the number of the one running job whose comment has these words."""
        (found,) = [
            job
            for job, (state, comment) in self.jobs().items()
            if state == "RUNNING" and all(word in comment for word in words)
        ]
        return found


@contextlib.contextmanager
def running() -> Iterator[Slurm]:
    """Start Slurm, and stop it and all that it started."""
    # Not pytest's folder: munged's socket has a short path, in a folder that others may enter.
    folder = Path(tempfile.mkdtemp(prefix="cobaye-slurm-"))
    folder.chmod(0o711)
    slurm, daemons = Slurm(folder), []
    try:
        _configure(folder)
        munge = [f"--{name}={folder}/{name}" for name in ("key-file", "pid-file", "seed-file")]
        daemons.append(_start(slurm, "munged", "--foreground", f"--socket={folder}/munge", *munge))
        _wait(lambda: (folder / "munge").exists(), slurm)
        daemons.append(_start(slurm, "slurmctld", "-D"))
        daemons.append(_start(slurm, "slurmd", "-D"))
        _wait(lambda: "idle" in slurm.call("sinfo", "--noheader", "--format=%T"), slurm)
        yield slurm
    finally:
        _stop(slurm, daemons)
        shutil.rmtree(folder, ignore_errors=True)


def _configure(folder: Path) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "key-file"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (one, other)]
    memory = psutil.virtual_memory().total // 2**20
    host = platform.node().split(".")[0]
    conf = CONF.format(host=host, ports=ports, folder=folder, memory=memory)
    (folder / "slurm.conf").write_text(conf)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")


def _start(slurm: Slurm, name: str, *arguments: str) -> subprocess.Popen:
    with open(slurm.folder / f"{name}.log", "wb") as log:
        return subprocess.Popen(
            [program(name), *arguments],
            env={**os.environ, **slurm.environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _wait(ready, slurm: Slurm, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(AssertionError):
            if ready():
                return
        if time.monotonic() > deadline:
            logs = {log.name: log.read_text()[-500:] for log in slurm.folder.glob("*.log")}
            raise RuntimeError(f"Slurm did not start: {logs}")
        time.sleep(0.1)


def _stop(slurm: Slurm, daemons: list[subprocess.Popen]) -> None:
    with contextlib.suppress(AssertionError, ValueError):
        slurm.call("scancel", "--full", "--signal=KILL", "--state=RUNNING", "--user=root")
    for daemon in reversed(daemons):
        daemon.terminate()
    for daemon in daemons:
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    for process in _left(slurm):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _left(slurm: Slurm) -> list[psutil.Process]:
    """Return the processes that know this Slurm's folder: its steps, and the jobs in them."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("SLURM_CONF") == slurm.environment["SLURM_CONF"]:
                found.append(process)
    return found
