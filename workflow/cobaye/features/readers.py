"""Readers: a split's images in batches, from an array, or decoded from files by workers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL.Image import Image
from torch.utils.data import DataLoader, Dataset

from cobaye.data import datasets, image_files
from cobaye.errors import DataError
from cobaye.storage import files, paths, sources
from cobaye.storage.arrays import ArrayFile


class Reader(Protocol):
    """The images of a split, as a backbone takes them.

    count: of images. shape: (C, H, W), () where a transform decides. root, names: the image files
    and their folder, if there are some. Filled on reading: unreadable: row → what is wrong with it;
    seen: row → what was found of its file.
    """

    count: int
    shape: tuple[int, ...]
    root: str
    names: list[str]
    unreadable: dict[int, str]
    seen: dict[int, sources.Seen]

    def batches(
        self, rows: range, size: int, workers: int, compute: Compute = None
    ) -> Iterator[torch.Tensor]:
        """Yield (n, C, H, W) uint8, n ≤ size, in the order of `rows`, unreadable ones left out.

        Files are decoded ahead of their use in `workers` processes (0: in this one). With
        `compute`, batches are what it makes of them, there too.
        """


# How a backbone sees images: {"resize", "crop", "interpolation"}, or a transform of an RGB image,
# which raises DataError only; None: as they are.
View = dict[str, Any] | Callable[[Image], torch.Tensor] | None
# What is made of a batch in the process that has it.
Compute = Callable[[torch.Tensor], torch.Tensor] | None


def open_split(dataset: str, split: str, view: View, root: Path) -> Reader:
    """Return the reader of a split of a prepared dataset."""
    manifest = datasets.manifest(dataset, root)
    folder = root / paths.DATASET.format(dataset=dataset)
    if manifest.info["form"] == "files":
        return FileReader(files.read_json(manifest.check(folder, f"{split}/index.json")), view)
    return ArrayReader(manifest.check(folder, f"{split}/images.npy"), view)


def _shape(view: View, stored: Sequence[int] = ()) -> tuple[int, ...]:
    """Return the shape of an image as it is seen; () where a transform decides."""
    if isinstance(view, dict):
        return 3, view["crop"], view["crop"]
    return tuple(stored) if view is None else ()


class ArrayReader:
    """Images of an array on disk, (N, C, H, W) uint8, read batch by batch."""

    def __init__(self, path: Path, view: View):
        self.array, self.view = ArrayFile(path), view
        self.count, *shape = self.array.shape
        self.shape = _shape(view, shape)
        self.root, self.names = "", []
        self.unreadable: dict[int, str] = {}
        self.seen: dict[int, sources.Seen] = {}

    def batches(
        self, rows: range, size: int, workers: int, compute: Compute = None
    ) -> Iterator[torch.Tensor]:
        """See `Reader`; `workers` has no effect, as nothing is decoded."""
        for start in range(rows.start, rows.stop, size):
            images = torch.from_numpy(self.array.read(start, min(start + size, rows.stop)))
            images = images if self.view is None else self._seen(images.expand(-1, 3, -1, -1))
            yield compute(images) if compute else images

    def _seen(self, images: torch.Tensor) -> torch.Tensor:
        from torchvision.transforms.functional import to_pil_image

        if isinstance(self.view, dict):
            return _resized(images, self.view)
        return torch.stack([self.view(to_pil_image(image)) for image in images])


class FileReader:
    """Image files, decoded, and resized and cropped as torchvision's presets do, or transformed."""

    def __init__(self, index: dict[str, Any], view: View):
        if view is None:
            raise ValueError("image files differ in size: they need a backbone that resizes")
        self.root, self.names = index["root"], index["paths"]
        self.files = _Files(Path(self.root), self.names, view)
        self.count, self.shape = len(self.files), _shape(view)
        self.unreadable: dict[int, str] = {}
        self.seen: dict[int, sources.Seen] = {}

    def batches(
        self, rows: range, size: int, workers: int, compute: Compute = None
    ) -> Iterator[torch.Tensor]:
        """See `Reader`."""
        loader = DataLoader(
            self.files,
            batch_size=size,
            sampler=rows,
            num_workers=workers,
            collate_fn=functools.partial(_stacked, compute=compute),
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=2 if workers else None,
        )
        for images, problems, seen in loader:
            self.unreadable |= problems
            self.seen |= seen
            # Raised here: an error that leaves a worker carries its traceback.
            if isinstance(images, DataError):
                raise images
            if images is not None:
                yield images


# The row of an image; the image, what is wrong with it, or with its transform; its file as seen.
_Decoded = tuple[int, torch.Tensor | str | DataError, sources.Seen]


class _Files(Dataset):
    def __init__(self, root: Path, names: list[str], view: View):
        self.root, self.names, self.view = root, names, view

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> _Decoded:
        from torchvision.transforms.functional import pil_to_tensor

        path, seen = self.root / self.names[row], sources.ABSENT
        try:
            content, seen = sources.read(path)
            image = image_files.decode(content)
        except (OSError, image_files.Undecodable) as error:
            return row, f"{path}: {error}", seen
        if isinstance(self.view, dict):
            return row, pil_to_tensor(_resized(image, self.view)), seen
        try:
            return row, self.view(image), seen
        except DataError as error:
            return row, DataError(f"{error} ({path})"), seen


def _stacked(
    decoded: list[_Decoded], compute: Compute = None
) -> tuple[torch.Tensor | DataError | None, dict[int, str], dict[int, sources.Seen]]:
    """Return the images of a batch that could be read, the problems of the others, the files.

    A transform that failed stands in place of the images.
    """
    for _, image, _ in decoded:
        if isinstance(image, DataError):
            return image, {}, {}
    images = [image for _, image, _ in decoded if isinstance(image, torch.Tensor)]
    problems = {row: text for row, text, _ in decoded if isinstance(text, str)}
    seen = {row: found for row, _, found in decoded}
    batch = torch.stack(images) if images else None
    return (compute(batch) if compute and images else batch), problems, seen


def _resized(image: Any, resize: dict[str, Any]) -> Any:
    """Return an image or tensor resized and cropped as torchvision's own presets do it."""
    from torchvision.transforms import InterpolationMode, functional

    mode = InterpolationMode(resize["interpolation"])
    image = functional.resize(image, resize["resize"], mode, antialias=True)
    return functional.center_crop(image, resize["crop"])
