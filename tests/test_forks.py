"""A job that is a fork of the process with the imports is the job that it would be by itself."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import warm
from tests.conftest import ROOT

SCRIPTS = ROOT / "workflow/scripts"
FORKS = runpy.run_path(str(SCRIPTS / "_forks.py"))
SHELL = ["bash", "-c", f"{sys.executable} $PWD/job.py said; exit $?"]
# A Snakemake: it has forks for the jobs that it starts.
HOST = f"""
import os, runpy, subprocess
runpy.run_path({str(SCRIPTS / "_forks.py")!r})["start"]({FORKS["FEWEST"]})
subprocess.run({SHELL})
"""
JOB = f"""
import os
import sys
sys.path.append({str(SCRIPTS)!r})
import snakemake.iocontainers
import _forks
if _forks.PLACE in os.environ:
    _forks.hand_over()
"""
TELL = """
import json
told = {"is a fork": "torch" in sys.modules, "arguments": sys.argv, "folder": os.getcwd()}
told |= {"environment": dict(os.environ), "file": __file__}
told |= {"first path": sys.path[0], "paths": sorted(sys.path)}
print(json.dumps(told), flush=True)
print("beside", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def served():
    """The process with the imports, and what says to a job that there is one."""
    process, place = FORKS["serve"]()
    yield process, {"COBAYE_FORKS": f"{os.getpid()} {place}"}
    process.communicate()


def started(folder, code, environment):
    """Start a script as Snakemake does."""
    Path(folder, "job.py").write_text(JOB + code)
    environment = {**os.environ, **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(SHELL, cwd=folder, env=environment, text=True, **pipes)


def run(folder, code, environment):
    """Run a script; return its exit status and what it said."""
    process = started(folder, code, environment)
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr


def test_a_fork_is_told_what_a_process_is_told(served, tmp_path):
    said = {"SAID": "é"}
    (_, as_fork, beside), (_, alone, _) = (
        run(tmp_path, TELL, said | more) for more in (served[1], {})
    )
    as_fork, alone = json.loads(as_fork), json.loads(alone)
    assert (as_fork.pop("is a fork"), alone.pop("is a fork")) == (True, False)
    assert as_fork == alone
    assert as_fork["environment"]["SAID"] == "é"
    assert as_fork["arguments"] == [str(tmp_path / "job.py"), "said"]
    assert beside == "beside\n"


@pytest.mark.parametrize("changed", ["threads", "starter", "place"])
def test_a_job_of_which_something_is_otherwise_runs_by_itself(served, tmp_path, changed):
    pid, _, place = served[1]["COBAYE_FORKS"].partition(" ")
    told = {
        "threads": {**served[1], "OMP_NUM_THREADS": "2"},
        "starter": {"COBAYE_FORKS": f"1 {place}"},
        "place": {"COBAYE_FORKS": f"{pid} {place}-gone"},
    }
    status, stdout, _ = run(tmp_path, TELL, told[changed])
    assert status == 0
    assert not json.loads(stdout)["is a fork"]


def test_there_are_forks_where_there_are_enough_jobs_and_they_are_wanted(monkeypatch):
    monkeypatch.setitem(FORKS["start"].__globals__, "serve", lambda: (None, "there"))
    few, start = FORKS["FEWEST"], FORKS["start"]
    for given, jobs, expected in [
        ("", few - 1, None),
        ("off", few, None),
        ("7 elsewhere", few, f"{os.getpid()} there"),
    ]:
        monkeypatch.setenv("COBAYE_FORKS", given)
        start(jobs)
        assert os.environ.get("COBAYE_FORKS") == expected


def test_no_file_of_tests_keeps_the_jobs_of_tests_from_being_forks():
    """A variable that one sets when it is imported lasts, and each job then imports torch anew."""
    assert {name: os.environ.get(name) for name in warm.READ} == warm.READ


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("sys.exit(7)", 7, ""),
        ("sys.exit('why')", 1, "why\n"),
        ("raise KeyError('x')", 1, "KeyError: 'x'\n"),
        ("os.kill(os.getpid(), 9)", 137, ""),
    ],
)
def test_a_fork_ends_as_a_process_does(served, tmp_path, code, status, said):
    for more in (served[1], {}):
        ended, _, stderr = run(tmp_path, code, more)
        assert ended == status
        assert stderr.endswith(said)


SLEEP = "import time\nopen('pid', 'w').write(f'{os.getpid()}\\n')\ntime.sleep(100)"


def sleeping(folder, starter):
    """Return the fork that a starter's job is, once it sleeps, and the script in its place."""
    while not (folder / "pid").exists() or not (folder / "pid").read_text().endswith("\n"):
        assert starter.poll() is None
        time.sleep(0.01)
    family = psutil.Process(starter.pid).children(recursive=True)
    (script,) = [each for each in family if each.cmdline()[1:2] == [f"{folder}/job.py"]]
    return psutil.Process(int((folder / "pid").read_text())), script


def test_a_fork_ends_with_the_script_that_handed_itself_over(served, tmp_path):
    with started(tmp_path, SLEEP, served[1]) as shell:
        fork, script = sleeping(tmp_path, shell)
        assert fork.name() == "job"
        script.kill()
        _, alive = psutil.wait_procs([fork], timeout=20)
        assert alive == []
        assert shell.wait(20) == 137
    assert json.loads(run(tmp_path, TELL, served[1])[1])["is a fork"]


def test_all_ends_when_snakemake_is_killed(tmp_path):
    (tmp_path / "job.py").write_text(JOB + SLEEP)
    with subprocess.Popen([sys.executable, "-c", HOST], cwd=tmp_path) as host:
        fork, script = sleeping(tmp_path, host)
        imports = fork.parent()
        place = Path(imports.cmdline()[-1]).parent
        assert place.is_dir()
        host.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs([script, imports], timeout=20)
    assert alive == []
    assert not place.exists()
    # A job sees for itself that the process that started it is gone: `_worker`.
    fork.kill()


def test_nothing_of_the_library_is_imported_before_the_fork(served, tmp_path):
    code = "print('cobaye' in sys.modules, 'pandas' in sys.modules)"
    assert run(tmp_path, code, served[1])[1] == "False True\n"
