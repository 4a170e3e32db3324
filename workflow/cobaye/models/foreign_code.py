"""What code from outside the library raises, as one message that names its place in the config."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cobaye.errors import CobayeError, DataError
from cobaye.storage import own_code

NO_WEIGHTS = (
    "its weights are not on this machine and cannot be downloaded: run the same command once with "
    "a network, or copy the download cache of another machine"
)
LONGEST = 400  # characters of another's message


class Place:
    """Where a callable stands in the config; as text, the beginning of a message.

    recipe: that of `prepare_backbone`. name: such as `timm:resnet18`. source: file → sha256.
    """

    def __init__(self, backbone: str, recipe: Mapping[str, Any], root: Path):
        self.name: str = recipe["callable"]
        self.source: Mapping[str, str] = recipe["source"]
        self.backbone, self.root = backbone, root

    def __str__(self) -> str:
        return f"config/backbones.yaml: {self.backbone}.callable: {self.name}"

    @contextlib.contextmanager
    def one_message(self) -> Iterator[None]:
        """Turn whatever the body raises into one DataError."""
        try:
            yield
        except CobayeError:
            raise
        except Exception as error:
            said = f"{self._line(error)}{type(error).__name__}: {in_one_line(error)}"
            if self.name.partition(":")[0] in own_code.PACKAGES and _is_of_system(error):
                said = f"{NO_WEIGHTS} ({said})"
            raise DataError(f"{self}: {said}") from None

    def _line(self, error: Exception) -> str:
        """Return the last line of the callable's own code that an error went through."""
        files = {str((self.root / file).resolve()): file for file in self.source}
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if frame.filename in files:
                return f"{files[frame.filename]}: line {frame.lineno}: "
        return ""


def in_one_line(error: Exception) -> str:
    """Return what an error says, shortened."""
    return " ".join(str(error).split())[:LONGEST]


def _is_of_system(error: BaseException | None) -> bool:
    """Tell whether an error comes from the network or the disk: from an OSError."""
    return error is not None and (
        isinstance(error, OSError) or _is_of_system(error.__cause__ or error.__context__)
    )
