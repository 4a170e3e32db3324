"""Check every file under results/ and resources/; end with 1 if any is damaged."""

import sys

import _worker  # noqa: F401  this tree's library
from cobaye.storage.verify import verify

count, problems = verify()
print(*problems, f"{count} files checked, {len(problems)} damaged", sep="\n", file=sys.stderr)
sys.exit(bool(problems))
