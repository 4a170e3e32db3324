"""Check every file under results/ and resources/; end with 1 if any is damaged."""

import sys
from pathlib import Path

import _worker  # noqa: F401  this tree's library
from cobaye.storage import files
from cobaye.storage.verify import verify

count, problems = verify()
report = "\n".join([*problems, f"{count} files checked, {len(problems)} damaged"])
print(report, file=sys.stderr)
files.write_bytes(Path(snakemake.log[0]), f"{report}\n".encode())
sys.exit(bool(problems))
