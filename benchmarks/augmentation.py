"""Training with augmentation: whole batches at a time against torchvision image by image.

What *one by one* is: torchvision's v2 transforms of each image in a Dataset behind a DataLoader, as
its tutorials do it, normalisation among them; with and without worker processes. *cobaye*: this
project's kinds on batches of uint8 images, then the same normalisation. Both give the same batches
to the same steps, and the steps alone are timed too. Crop with padding 4 and horizontal flip, and
all kinds that torchvision has as well (rotation, zoom, colour).

    python benchmarks/augmentation.py --help
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator

import torch
from _common import interleave, machine, ratio, show, spread, table
from torchvision.transforms import v2

from cobaye import kinds, recipes
from cobaye.data.normalization import Normalization
from cobaye.models import networks
from cobaye.training.augmentations import Augmentation

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
OURS = {
    "crop, flip": {"crop": {"padding": 4}, "horizontal-flip": {}},
    "all": {
        "crop": {"padding": 4},
        "horizontal-flip": {},
        "rotation": {"degrees": 15.0},
        "zoom": {"low": 0.9, "high": 1.1},
        "colour": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2},
    },
}
CROP_FLIP = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()]
BILINEAR = v2.InterpolationMode.BILINEAR
THEIRS = {
    "crop, flip": CROP_FLIP,
    "all": [
        *CROP_FLIP,
        v2.RandomAffine(15, scale=(0.9, 1.1), interpolation=BILINEAR),
        v2.ColorJitter(0.2, 0.2, 0.2),
    ],
}


class OneByOne(torch.utils.data.Dataset):
    """Images, each changed and normalised when it is asked for."""

    def __init__(self, images: torch.Tensor, changes: list[torch.nn.Module]):
        scaled = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
        self.images, self.change = images, v2.Compose([*changes, *scaled])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.change(self.images[index])


def whole_batches(images: torch.Tensor, which: str, size: int) -> Iterator[torch.Tensor]:
    asked = [
        recipes.Kind(kind, recipes.plain(kinds.options("augmentations", kind)(**given)))
        for kind, given in OURS[which].items()
    ]
    augment = Augmentation(asked)
    constants = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    normalize = Normalization(*constants).to(images.device)
    for number, batch in enumerate(torch.randperm(len(images)).split(size)):
        yield normalize(augment(images[batch.to(images.device)], number))


def one_by_one(images: torch.Tensor, which: str, size: int, workers: int) -> Iterator[torch.Tensor]:
    data = OneByOne(images, THEIRS[which])
    options = {"multiprocessing_context": "fork"} if workers else {}
    return iter(
        torch.utils.data.DataLoader(data, size, shuffle=True, num_workers=workers, **options)
    )


class Steps:
    """Training steps of the small ResNet on whatever batches there are."""

    def __init__(self, device: str):
        options = kinds.options("networks", "resnet-small")()
        model = recipes.Kind("resnet-small", recipes.plain(options))
        self.network, self.device = networks.build(model, (3, 32, 32), 10).to(device), device
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9)

    def __call__(self, batches: Iterator[torch.Tensor]) -> None:
        """Take one step on each batch."""
        for batch in batches:
            inputs = batch.to(self.device).contiguous(memory_format=torch.channels_last)
            labels = torch.zeros(len(batch), dtype=torch.int64, device=self.device)
            self.optimizer.zero_grad()
            torch.nn.functional.cross_entropy(self.network(inputs), labels).backward()
            self.optimizer.step()


def drain(batches: Iterator[torch.Tensor]) -> None:
    for _ in batches:
        pass


def measure(which: str, arguments: argparse.Namespace) -> dict:
    generator = torch.Generator().manual_seed(0)
    shape = (arguments.images, 3, 32, 32)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    placed, size, workers = images.to(arguments.device), arguments.batch, arguments.workers
    steps = Steps(arguments.device)
    ready = [torch.randn(size, 3, 32, 32, device=arguments.device)] * (arguments.images // size)
    tasks: dict[str, Callable[[], None]] = {
        "cobaye": lambda: drain(whole_batches(placed, which, size)),
        "one by one": lambda: drain(one_by_one(images, which, size, 0)),
        f"{workers} workers": lambda: drain(one_by_one(images, which, size, workers)),
        "steps": lambda: steps(iter(ready)),
        "cobaye + steps": lambda: steps(whole_batches(placed, which, size)),
        "one by one + steps": lambda: steps(one_by_one(images, which, size, 0)),
        f"{workers} workers + steps": lambda: steps(one_by_one(images, which, size, workers)),
    }
    times = interleave(tasks, arguments.repeats, arguments.device)
    ours = {"": times["cobaye"], " + steps": times["cobaye + steps"]}
    return {
        "images_per_s": {
            name: spread([arguments.images / each for each in results])
            for name, results in times.items()
        },
        "over_cobaye": {
            name: ratio(results, ours[" + steps" if "+" in name else ""])
            for name, results in times.items()
            if "by one" in name or "workers" in name
        },
        "cobaye_with_over_steps": ratio(times["cobaye + steps"], times["steps"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    facts = {**machine(arguments.device), **vars(arguments)}
    seconds = {which: measure(which, arguments) for which in OURS}
    print(", ".join(f"{key} {value}" for key, value in facts.items()), end="\n\n")
    rows = [["augmentation", "what", "images/s", "time over cobaye's"]]
    for which, each in seconds.items():
        for name, speed in each["images_per_s"].items():
            over = each["over_cobaye"].get(name)
            rows.append([which, name, show(speed, digits=0), show(over) if over else ""])
        rows.append([which, "cobaye + steps over steps", "", show(each["cobaye_with_over_steps"])])
    print(table(rows), end="\n\n")
    print(json.dumps({"machine": facts, "results": seconds}))


if __name__ == "__main__":
    main()
