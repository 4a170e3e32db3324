"""What all scripts share: the log, one clear message for an error the user can mend, the end."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import psutil

from cobaye.errors import CobayeError


@contextlib.contextmanager
def job(snakemake: Any) -> Iterator[dict[str, Any]]:
    """Run the body as a job: output into its log, ended when Snakemake is gone.

    Yields what the plan tells the job: identity, recipe, code.
    """
    _end_with(int(os.environ.get("COBAYE_WORKFLOW_PID", os.getppid())))
    with open(snakemake.log[0], "a", encoding="utf-8", buffering=1) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
        try:
            yield {key: snakemake.params[key] for key in ("identity", "recipe", "code")}
        except CobayeError as error:
            print(f"\n{snakemake.rule}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        except Exception:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)


def device(snakemake: Any) -> str:
    """Return where to compute: on the GPU if the job was given one."""
    return "cuda" if snakemake.resources.get("gpu", 0) else "cpu"


def _end_with(pid: int) -> None:
    """End this process soon after Snakemake's, so that no orphan works on."""
    try:
        parent = psutil.Process(pid)
    except psutil.NoSuchProcess:
        os._exit(1)

    def watch() -> None:
        while _alive(parent):
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
