"""No file of tests takes more of a processor than its budget: the run that finds one fails.

Processor time is that of the test's process and of the processes that it started and waited for: on
a busy machine it grows by a part, where the clock grows by a multiple. A fixture of the whole
session is counted by its own name, not with the file that happens to ask for it first.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from tests import warm

# Seconds of processor: above what the longest files take on a busy machine.
BUDGET = 300
SHOWN = 5

# File, or fixture of the session → seconds: since the last report of a test, and of the whole run.
since_report: Counter[str] = Counter()
total: Counter[str] = Counter()
counted = 0.0


def count(name: str) -> None:
    """Add the processor time since the last call to what a file or fixture took."""
    global counted
    now = sum(os.times()[:4]) + warm.seconds
    since_report[name] += now - counted
    counted = now


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    count("")
    since_report.clear()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request) -> Iterator[None]:
    if fixturedef.scope == "session":
        count(file_of(os.environ["PYTEST_CURRENT_TEST"]))
    try:
        return (yield)
    finally:
        if fixturedef.scope == "session":
            count(f"fixture {fixturedef.argname}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    count(file_of(item.nodeid))
    # A report travels from the process of the test to that of the summary.
    report.seconds = dict(since_report)
    since_report.clear()
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    total.update(getattr(report, "seconds", {}))


def over_budget() -> list[str]:
    return [name for name, seconds in total.items() if seconds > BUDGET]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if over_budget() and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    asked = config.option.durations
    shown = total.most_common(None if asked == 0 else asked or SHOWN)
    longest = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in shown)
    terminalreporter.write_line(f"Processor time: {total.total():.0f} s; most of it: {longest}")
    for name in over_budget():
        said = f"{name}: {total[name]:.0f} s of a processor, and its budget is {BUDGET} s"
        terminalreporter.write_line(said, red=True)
