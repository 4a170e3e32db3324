"""Everything that is promised of a GPU, on the GPU that is there, in ten minutes at most.

    python benchmarks/gpu.py                          # writes its table into benchmarks/gpu.md
    python benchmarks/gpu.py --parts sweep launches   # some parts only
    python benchmarks/gpu.py --device cpu --small     # all parts at toy sizes: does it run?

Each part is a process of its own with a time limit. A part that fails or takes too long is a row
that says so, and the others go on. The page is written after each part.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from _common import machine, table
from _gpu_parity import compare, resume, solve
from _gpu_speed import Row, features, launches, sweep

PAGE = Path(__file__).with_name("gpu.md")
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
# Part → its function, and the seconds that it may take: ten minutes in all.
PARTS = {
    "sweep": (sweep, 200),
    "launches": (launches, 60),
    "features": (features, 90),
    "exact": (solve, 70),
    "compare": (compare, 110),
    "resume": (resume, 60),
}


def run_part(name: str, device: str, small: bool) -> list[Row]:
    """Run a part in a process; return its rows, with one more if it failed."""
    limit = PARTS[name][1]
    command = [sys.executable, __file__, "--part", name, "--device", device]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        try:
            arguments = {"stdout": out, "stderr": errors, "timeout": limit}
            code = subprocess.run([*command, *["--small"] * small], **arguments).returncode
            why = f"exit status {code}" if code else ""
        except subprocess.TimeoutExpired:
            why = f"more than {limit} s"
        out.seek(0)
        errors.seek(0)
        rows = [Row(*json.loads(line)) for line in out]
        said = errors.read().strip()
    if why:
        print(said, file=sys.stderr)
        last = said.splitlines()[-1].replace("|", "/")[:200] if said else ""
        rows.append(Row(f"{name}: failed", why, last, "no failure", False))
    return rows


def show(rows: list[Row], device: str) -> str:
    """Return the table, below the machine and the date."""
    facts = ", ".join(f"{key}: {value}" for key, value in machine(device).items())
    words = {True: "yes", False: "**no**", None: "–"}
    head = ["what", "measured", "beside it", "goal", "held"]
    lines = table([head, *([*row[:4], words[row.held]] for row in rows)])
    return f"{facts}; {datetime.date.today()}:\n\n{lines}"


def write(page: Path, text: str) -> None:
    """Put a text between the markers of the page."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument(
        "--small", action="store_true", help="toy sizes; no goal of speed is judged"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--page", type=Path, help="where the page goes: gpu.md, unless --small")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu.py: torch sees no GPU here; --device cpu --small runs it at toy sizes")
    if given.device == "cpu" and not given.small:
        sys.exit("gpu.py: --device cpu is for toy sizes only: add --small")
    if given.part:
        for row in PARTS[given.part][0](given.device, given.small):
            print(json.dumps(row), flush=True)
        return
    page = given.page or (None if given.small else PAGE)
    rows: list[Row] = []
    for name in given.parts:
        print(f"{name} (at most {PARTS[name][1]} s)", file=sys.stderr, flush=True)
        rows += run_part(name, given.device, given.small)
        if page:
            write(page, show(rows, given.device))
    print(show(rows, given.device))
    facts = {"machine": machine(given.device), "rows": [row._asdict() for row in rows]}
    print(f"\n{json.dumps(facts)}")


if __name__ == "__main__":
    main()
