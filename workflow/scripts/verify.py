"""Check every file under results/ and resources/; end with 1 if any is damaged."""

import sys
from pathlib import Path

import _worker  # noqa: F401  this tree's library
from cobaye.storage.verify import verify

count, problems = verify()
report = "\n".join([*problems, f"{count} files checked, {len(problems)} damaged"])
print(report, file=sys.stderr)
Path(snakemake.log[0]).write_text(f"{report}\n")
sys.exit(bool(problems))
