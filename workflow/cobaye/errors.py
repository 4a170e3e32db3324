"""The errors that a user can mend, each with one clear message."""

from __future__ import annotations

import contextlib
import difflib
import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

# What a user can mend when a file cannot be written.
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
MEND = "Mend that and run the same command again: it goes on from what is complete."


class CobayeError(Exception):
    """Something the user can mend; its message is all that is shown, without a traceback."""


class ConfigError(CobayeError):
    """A value in a config file that cannot be used; the message names file, key and value."""


class DataError(CobayeError):
    """A dataset or a set of features that cannot be used as it is."""


class CorruptFile(CobayeError):
    """A file that is not what its manifest says; names the file, both values and the repair."""


class UnwritableFile(CobayeError):
    """A file that the system does not let be written: no space left, no permission."""


class StaleFile(CobayeError):
    """A file made from another recipe, data or code than the config gives now."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a name that is not known: ``did you mean 'x'? known: x, y``."""
    names = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names) or 'none'}"


@contextlib.contextmanager
def writable(path: Path | str) -> Iterator[None]:
    """Turn what the system says against writing a file into one clear UnwritableFile."""
    try:
        yield
    except OSError as error:
        # A rename names its source first.
        named, path = Path(error.filename2 or error.filename or path), Path(path)
        concerned = named in path.parents or named.parent == path.parent
        if error.errno not in UNWRITABLE or not concerned:
            raise
        raise UnwritableFile(f"{path}: cannot be written: {error.strerror}. {MEND}") from error
