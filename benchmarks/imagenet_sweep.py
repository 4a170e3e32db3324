"""The sweep of S0 at ImageNet's own size, timed on one λ and scaled.

    python benchmarks/imagenet_sweep.py

1,281,167 generated features of 2,048 values, 1,000 classes, batches of 256, 90 epochs, 11 λ, one
process per λ, one after another, as the workflow runs them on one GPU. Timed: a process that
starts, brings the features from this machine's memory to where they are trained on, and trains some
whole epochs (the first, which also warms up, is told apart). Not timed: reading 10.5 GB from disk,
and evaluation. Scaled: λ × (start + move + epochs × the median epoch).

The limit of an epoch, measured in the same process: the two products of each batch at the same
precision, and beside it the bytes of weights, momentum and gradient that a step must move (each
read, and weights and momentum written) at the speed of a large copy. The larger of the two is the
least that an epoch could take if all else were free. The last line is all of it as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import psutil
import torch
from _common import machine, table

from cobaye.training.engines.linear import Engine
from cobaye.training.loop import batch_order

RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4


def features(images: int, width: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features (N, D) around one centre per class, in this machine's memory, and labels."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, width, generator=generator)
    labels = torch.randint(classes, (images,), generator=generator)
    inputs = torch.empty(images, width)
    for rows in torch.arange(images).split(8192):
        noise = torch.randn(len(rows), width, generator=generator)
        torch.add(noise, centres[labels[rows]], out=inputs[rows[0] : rows[-1] + 1])
    return inputs, labels


def elapsed(work: Any, device: str) -> float:
    """Return the seconds that a call takes, the device's work included."""
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def products(inputs: torch.Tensor, classes: int, batch: int) -> None:
    """Compute the two products of every batch of an epoch."""
    weight = inputs.new_full((classes, inputs.shape[1]), 0.01)
    logits = inputs.new_full((classes, batch), 0.01)
    gradient = torch.empty_like(weight)
    for x in inputs.split(batch):
        torch.mm(weight, x.T, out=logits[:, : len(x)])
        torch.mm(logits[:, : len(x)], x, out=gradient)


def bytes_per_second(device: str) -> float:
    """Return how fast a large copy moves bytes, reads and writes counted."""
    source = torch.ones(64_000_000, device=device)
    target = torch.empty_like(source)
    seconds = min(elapsed(lambda: target.copy_(source), device) for _ in range(5))
    return 2 * source.nbytes / seconds


def one(args: argparse.Namespace) -> dict[str, Any]:
    """Train one λ for some epochs in this process; return its times in seconds."""
    device = args.device
    torch.zeros(1, device=device)
    started = time.time() - psutil.Process().create_time()
    inputs, labels = features(args.images, args.features, args.classes)
    resident: list[Engine] = []

    def move() -> None:
        resident.append(
            Engine(
                inputs.to(device),
                labels,
                args.classes,
                weight_decay=WEIGHT_DECAY,
                momentum=MOMENTUM,
                batch_size=args.batch,
                device=device,
            )
        )

    moved = elapsed(move, device)
    engine = resident[0]

    def epoch(number: int) -> None:
        engine.epoch(batch_order(0, number, args.images), RATE)

    epochs = [elapsed(lambda i=i: epoch(i), device) for i in range(1, args.timed + 2)]
    on_device = inputs.to(device)
    products(on_device[: 4 * args.batch], args.classes, args.batch)
    least = [
        elapsed(lambda: products(on_device, args.classes, args.batch), device) for _ in range(3)
    ]
    steps = -(-args.images // args.batch)
    moves = 5 * 4 * args.classes * (args.features + 1) * steps
    return {
        "start": started,
        "move": moved,
        "first_epoch": epochs[0],
        "epochs": epochs[1:],
        "products": statistics.median(least),
        "bytes": moves / bytes_per_second(device),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--features", type=int, default=2_048)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--lambdas", type=int, default=11)
    parser.add_argument("--timed", type=int, default=3, help="whole epochs, after the first")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=["cpu", "cuda"], default=device)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args)))
        return
    command = [sys.executable, __file__, *sys.argv[1:], "--one"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    epoch = statistics.median(result["epochs"])
    limit = max(result["products"], result["bytes"])
    sweep = args.lambdas * (result["start"] + result["move"] + args.epochs * epoch)
    spread = f"{epoch:.3f} ({min(result['epochs']):.3f}–{max(result['epochs']):.3f})"
    rows = [
        ["what", "seconds"],
        ["start of a process", f"{result['start']:.2f}"],
        ["features to the device", f"{result['move']:.2f}"],
        ["first epoch", f"{result['first_epoch']:.3f}"],
        [f"an epoch, median (min–max) of {args.timed}", spread],
        ["its two products alone", f"{result['products']:.3f}"],
        ["its bytes of weights, momentum, gradient", f"{result['bytes']:.3f}"],
        ["limit / epoch", f"{limit / epoch:.2f}"],
        [f"the sweep: {args.lambdas} λ × {args.epochs} epochs", f"{sweep:.0f}"],
    ]
    print(
        f"N = {args.images}, D = {args.features}, K = {args.classes}, B = {args.batch}, "
        f"{args.device}, float32 products at {result['matmul_precision']!r} precision\n"
    )
    print(table(rows) + "\n")
    result |= {"machine": machine(args.device), "arguments": vars(args), "sweep": sweep}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
