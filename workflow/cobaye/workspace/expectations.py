"""`cobaye expected`: what is not as the finished studies expect, of all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cobaye.errors import DataError
from cobaye.storage import manifests, paths

STAGE = "compare_expected"


def compared(studies: Sequence[str]) -> list[str]:
    """Return how the last runs of studies compare with what they expect, in lines.

    studies: their names; none for all that have such a table. Raises DataError where one has none,
    CorruptFile where it is damaged.
    """
    everywhere = Path().glob(paths.manifest(STAGE, {"study": "*"}))
    found = list(studies) or sorted(path.parts[1] for path in everywhere)
    lines = []
    for study in found:
        path = Path(paths.manifest(STAGE, {"study": study}))
        if not path.is_file():
            raise DataError(
                f"{path} is missing: first run: snakemake --cores all {study} (of a study with the "
                "key expected)"
            )
        said, *warnings = manifests.read_manifest(path, STAGE, {"study": study}).info["summary"]
        lines += [f"{study}: {said}", *(f"    {warning}" for warning in warnings)]
    return lines or ["no study in results/ was compared with what it expects"]
