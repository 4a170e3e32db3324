"""An epoch of the sweep of S0 at ImageNet's width: all λ in one pass, beside one run at a time.

    python benchmarks/imagenet_sweep.py                       # 20,000 images on a processor
    python benchmarks/imagenet_sweep.py --images 1281167 --disk /tmp --ways "together, bfloat16"

Generated float16 features of 2,048 values, 1,000 classes, batches of 256, 11 λ. The ways take
turns, after a turn that is not timed (with --repeats 1, there is none):

    alone       one λ by the linear engine; the sweep would do this once per λ
    together    all λ by the stacked engine: each batch is gathered once, one product for all
    products    nothing but the two products of every batch of one λ, at the same precision, on
                consecutive slices: the least that a λ could take

With --disk, the features lie in a file there, read by memory map; else in memory. Scaled, not
timed: a sweep of 90 epochs at the number of images given. The last line is all of it as JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _common import interleave, machine, show, spread, table

from cobaye.storage.mapped_rows import MappedRows
from cobaye.training.engines import linear, linear_path
from cobaye.training.loop import batch_order

RATE, MOMENTUM, EPOCHS = 0.1, 0.9, 90
DECAYS = [0.0, *(10 ** (-half / 2) for half in range(13, 3, -1))]
IMAGES = {"cpu": 20_000, "cuda": 1_281_167}
PRECISIONS = ("float32", "bfloat16")


def write_features(path: Path, labels: torch.Tensor, args: argparse.Namespace) -> None:
    """Write features (N, D), float16, around one centre per class."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(args.classes, args.features, generator=generator)
    shape = (len(labels), args.features)
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    for part in torch.arange(len(labels)).split(8192):
        noise = torch.randn(len(part), args.features, generator=generator)
        rows[part[0] : part[-1] + 1] = noise.add_(centres[labels[part]]).numpy()
    rows.flush()


def alone(inputs, labels, mixed: bool, args: argparse.Namespace) -> Callable[[], object]:
    engine = linear.Engine(
        inputs,
        labels,
        args.classes,
        weight_decay=1e-4,
        momentum=MOMENTUM,
        batch_size=args.batch,
        device=args.device,
        mixed=mixed,
    )
    return lambda: engine.epoch(batch_order(0, 1, len(labels), args.shuffle), RATE)


def together(
    inputs, labels, mixed: bool, args: argparse.Namespace, *, replay: bool = True
) -> Callable[[], object]:
    engine = linear_path.Engine(
        inputs,
        labels,
        args.classes,
        weight_decays=DECAYS,
        momenta=[MOMENTUM] * len(DECAYS),
        batch_size=args.batch,
        device=args.device,
        mixed=mixed,
        replay=replay,
    )
    rates = [RATE] * len(DECAYS)
    return lambda: engine.epoch(batch_order(0, 1, len(labels), args.shuffle), rates)


def products(inputs, labels, mixed: bool, args: argparse.Namespace) -> Callable[[], object]:
    dtype = torch.bfloat16 if mixed else torch.float32
    kind = {"dtype": dtype, "device": args.device}
    x = torch.randn(args.batch, args.features).to(**kind)
    weight = torch.full((args.classes, args.features), 0.01, **kind)
    logits = torch.empty(args.classes, args.batch, **kind)
    gradient = torch.empty_like(weight)

    def epoch() -> None:
        for _ in range(-(-len(labels) // args.batch)):
            torch.mm(weight, x.T, out=logits)
            torch.mm(logits, x, out=gradient)

    return epoch


def measure(path: Path, args: argparse.Namespace) -> list[dict]:
    """Return the times of each way, in seconds per epoch and λ."""
    labels = torch.arange(args.images) % args.classes
    write_features(path, labels, args)
    mapped = MappedRows([path])
    inputs = mapped if args.disk else torch.cat(list(mapped.split(8192))).to(args.device)
    makers = {"alone": alone, "together": together, "products": products}
    ways = [way.strip().split(", ") for way in args.ways.split(";")]
    tasks = {
        f"{name}, {precision}": makers[name](inputs, labels, precision == "bfloat16", args)
        for name, precision in ways
    }
    times = interleave(tasks, args.repeats, args.device, warm=args.repeats > 1)
    counts = {way: len(DECAYS) if way.startswith("together") else 1 for way in times}
    read = inputs.shape[1] * 2 * len(labels)
    return [
        {
            "way": way,
            "seconds per epoch and λ": spread([each / counts[way] for each in values]),
            "hours per sweep": spread([each / counts[way] for each in values])["median"]
            * len(DECAYS)
            * EPOCHS
            / 3600,
            "GB gathered per epoch of the sweep": read * len(DECAYS) / counts[way] / 1e9,
        }
        for way, values in times.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=["cpu", "cuda"], default=device)
    parser.add_argument("--images", type=int)
    parser.add_argument("--features", type=int, default=2_048)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--disk", type=Path, help="a folder: features are read from a file there")
    every = [f"{n}, {p}" for p in PRECISIONS for n in ("products", "alone", "together")]
    parser.add_argument("--ways", default="; ".join(every))
    args = parser.parse_args()
    args.images = args.images or IMAGES[args.device]
    args.shuffle = "blocks" if args.disk else "full"
    torch.set_num_threads(args.threads)

    with tempfile.TemporaryDirectory(dir=args.disk) as folder:
        results = measure(Path(folder) / "features.npy", args)
    where = machine(args.device)
    print(", ".join(f"{key}: {value}" for key, value in where.items()))
    print(
        f"N = {args.images}, D = {args.features}, K = {args.classes}, B = {args.batch}, "
        f"{len(DECAYS)} λ, {args.device}, {args.threads} threads, {args.repeats} turns\n"
    )
    rows = [["way", "s per epoch and λ", f"h per sweep of {EPOCHS} epochs, scaled", "GB gathered"]]
    for result in results:
        _, seconds, hours, gathered = result.values()
        made = "–" if result["way"].startswith("products") else f"{gathered:.2f}"
        rows.append([result["way"], show(seconds, digits=3), f"{hours:.2f}", made])
    print(table(rows))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory of the process, all ways: {peak:.2f} GiB\n")
    arguments = {key: str(value) for key, value in vars(args).items()}
    result = {"machine": where, "arguments": arguments, "peak GiB": peak, "ways": results}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
