"""Time one epoch of a linear softmax model against the least that it could take.

    python benchmarks/head_training.py --threads 1 2 --repeats 7

Six tasks take turns on the same random data, at two sizes of data set:

    plain     the loop that most people write: DataLoader, autograd, per-class loss by a second
              call of the cross-entropy, .item() at every step
    cobaye    cobaye's linear engine with the same statistics
    products  nothing but the two matrix products of every batch, by torch.mm into memory made
              before, on consecutive slices
    oneDNN    the same two products by the operator that the engine calls where it pays
    bfloat16  cobaye's engine with products in bfloat16, where the device has them
    products in bfloat16: the two products of that engine, by torch.mm

cobaye/least is the time of cobaye over that of the faster float32 products of its turn.
The last line is all of it as JSON.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections.abc import Callable

import torch
from _common import interleave, machine, ratio, show, spread, table
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from cobaye.objective import matmul
from cobaye.training.engines.linear import Engine

# images, features, classes, batch size
SIZES = [(12_000, 256, 200, 256), (20_000, 2_048, 1_000, 256)]
RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4


def plain_epoch(inputs: Tensor, labels: Tensor, classes: int, batch: int) -> Callable[[], Tensor]:
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=batch, shuffle=True)
    model = nn.Linear(inputs.shape[1], classes).to(inputs.device)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    criterion = nn.CrossEntropyLoss()

    def epoch() -> Tensor:
        total_loss, correct = 0.0, 0
        class_loss = torch.zeros(classes, device=inputs.device)
        class_count = torch.zeros(classes, device=inputs.device)
        for x, y in loader:
            optimizer.zero_grad()
            logits = model(x)
            loss = criterion(logits, y)
            loss.backward()
            optimizer.step()
            total_loss += loss.item() * len(y)
            correct += (logits.argmax(1) == y).sum().item()
            each = functional.cross_entropy(logits.detach(), y, reduction="none")
            class_loss.index_add_(0, y, each)
            class_count.index_add_(0, y, torch.ones_like(each))
        return class_loss / class_count

    return epoch


def cobaye_epoch(
    inputs: Tensor, labels: Tensor, classes: int, batch: int, *, mixed: bool = False
) -> Callable[[], Tensor]:
    engine = Engine(
        inputs,
        labels,
        classes,
        weight_decay=WEIGHT_DECAY,
        momentum=MOMENTUM,
        batch_size=batch,
        device=inputs.device,
        mixed=mixed,
    )

    labels = labels.cpu()
    images_per_class = torch.bincount(labels, minlength=classes)

    def epoch() -> Tensor:
        losses = engine.epoch(torch.randperm(len(labels)), RATE).losses
        return torch.bincount(labels, losses, minlength=classes) / images_per_class

    return epoch


def products(inputs: Tensor, labels: Tensor, classes: int, batch: int) -> Callable[[], None]:
    weight, gradient = inputs.new_full((2, classes, inputs.shape[1]), 0.01)
    logits = inputs.new_full((batch, classes), 0.01)

    def epoch() -> None:
        for x in inputs.split(batch):
            torch.mm(x, weight.T, out=logits[: len(x)])
            torch.mm(logits[: len(x)].T, x, out=gradient)

    return epoch


def bfloat16_products(
    inputs: Tensor, labels: Tensor, classes: int, batch: int
) -> Callable[[], None]:
    return products(inputs.bfloat16(), labels, classes, batch)


def onednn_products(inputs: Tensor, labels: Tensor, classes: int, batch: int) -> Callable[[], None]:
    product = torch.ops.mkldnn._linear_pointwise.default
    weight = inputs.new_full((classes, inputs.shape[1]), 0.01)

    def epoch() -> None:
        for x in inputs.split(batch):
            logits = product(weight, x, None, "none", [], "")
            product(logits, x.T, None, "none", [], "")

    return epoch


def measure(size: tuple[int, ...], threads: int, repeats: int, device: str) -> dict:
    images, features, classes, batch = size
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    inputs = torch.randn(images, features, device=device)
    labels = torch.randint(classes, (images,), device=device)
    makers = {"plain": plain_epoch, "cobaye": cobaye_epoch, "products": products}
    if device == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        makers["oneDNN"] = onednn_products
    if matmul.has_bfloat16(inputs.device):
        makers["bfloat16"] = functools.partial(cobaye_epoch, mixed=True)
        makers["products in bfloat16"] = bfloat16_products
    tasks = {name: make(inputs, labels, classes, batch) for name, make in makers.items()}
    times = interleave(tasks, repeats, device)
    least = [
        min(pair)
        for pair in zip(times["products"], times.get("oneDNN", times["products"]), strict=True)
    ]
    return {
        "size": dict(zip(("images", "features", "classes", "batch"), size, strict=True)),
        "threads": threads,
        "seconds": {name: spread(values) for name, values in times.items()},
        "cobaye/least": ratio(times["cobaye"], least),
        "cobaye/bfloat16": ratio(times["cobaye"], times.get("bfloat16", [math.nan] * repeats)),
        "plain/cobaye": ratio(times["plain"], times["cobaye"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=7)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=["cpu", "cuda"], default=device)
    args = parser.parse_args()

    results = [
        measure(size, threads, args.repeats, args.device)
        for size in SIZES
        for threads in args.threads
    ]
    where = machine(args.device)
    print(", ".join(f"{key}: {value}" for key, value in where.items()))
    print(f"device: {args.device}; ms per epoch, median (min–max) of {args.repeats} turns\n")
    names = list(results[0]["seconds"])
    rows = [["N × D, K, B", "threads", *names, "cobaye/least", "cobaye/bfloat16", "plain/cobaye"]]
    for result in results:
        images, features, classes, batch = result["size"].values()
        cells = [f"{images} × {features}, {classes}, {batch}", str(result["threads"])]
        cells += [show(result["seconds"][name], unit=1e-3, digits=1) for name in names]
        ratios = ("cobaye/least", "cobaye/bfloat16", "plain/cobaye")
        rows.append([*cells, *(show(result[name]) for name in ratios)])
    print(table(rows), end="\n\n")
    print(json.dumps({"machine": where, "repeats": args.repeats, "results": results}))


if __name__ == "__main__":
    main()
