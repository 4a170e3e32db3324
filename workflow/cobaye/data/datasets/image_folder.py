"""A tree of images, one folder per class, decoded when a backbone's features are cached.

ImageNet in its usual layout is one: ``train/<wnid>/`` and ``val/<wnid>/``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from cobaye.data.datasets import Prepared, _folders, _partition

FORM = "files"
EXAMPLE = {"folder": "images"}


@dataclass(frozen=True)
class Options:
    """Where the images are, what classes are called, and how images are split."""

    #: Folder with one folder per part, each with one folder of images per class: `train/<class>/…`,
    #: `val/<class>/…`.
    folder: str
    #: What classes are called, in figures and in options that name classes. `folder`: as their
    #: folders. `imagenet`: torchvision's words for its 1,000 folders, such as `hippopotamus` for
    #: `n02398521`.
    class_names: Literal["folder", "imagenet"] = "folder"
    #: Images of `train`, `val` and `test`, as pieces of the parts; by default each split is the
    #: part of the same name.
    splits: dict[str, dict[str, object]] = field(
        default_factory=lambda: {name: {"of": name} for name in ("train", "val", "test")}
    )

    def sizes(self) -> dict[str, object]:
        """Return the size by the number of files, or ImageNet's of a large folder."""
        each = {"seconds": _folders.LISTING, "held": _folders.NAME}
        return _folders.sizes(self.folder, self.splits) | each

    def __post_init__(self) -> None:
        """Refuse splits that no data could meet."""
        if found := _partition.problems(self.splits, None):
            raise ValueError("; ".join(found))


def problems(options: Options) -> list[str]:
    """Return what would stop `prepare`, one sentence each."""
    return _folders.problems(options.folder, options.splits, options.class_names)


def sources(options: Options) -> list[str]:
    """Return the folders of the parts."""
    return _folders.sources(options.folder, options.splits)


def prepare(options: Options, progress: Callable[[int, int], None] | None = None) -> Prepared:
    """Return the image files of each split, none of them opened."""
    return Prepared(*_folders.scan(options.folder, options.splits, options.class_names))
