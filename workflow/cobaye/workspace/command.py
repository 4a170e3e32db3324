"""The command `cobaye`: its arguments, and one message for what cannot be done."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cobaye.config import study_files
from cobaye.errors import CobayeError, ConfigError, writable
from cobaye.storage import files, own_code
from cobaye.storage.paths import RESERVED
from cobaye.workspace import expectations, given_data, templates, widening


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    given = _parser().parse_args(arguments)
    try:
        print("\n".join(given.run(given)))
    except CobayeError as error:
        print(f"cobaye: {error}", file=sys.stderr)
        return 1
    return 0


def _init(given: argparse.Namespace) -> list[str]:
    place = "" if given.folder == Path() else f"cd {given.folder}, then "
    return [
        *(f"wrote {file}" for file in init(given)),
        f"Look at config/studies/{given.name}.yaml, then: {place}snakemake --cores all",
    ]


def _widen(given: argparse.Namespace) -> list[str]:
    return [*widening.widen(given.study), f"Then: snakemake --cores all {given.study}"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cobaye", description="With many classes, does one weight decay suit every class?"
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser("init", help="make a workspace: config, a study, a Snakefile")
    command.add_argument("name", help="of the study: small letters, digits, '-', '.'")
    data = command.add_mutually_exclusive_group(required=True)
    for flag, holds in [
        ("--features", "features (N, D): .npy, .npz, .safetensors or .parquet"),
        ("--parquet", "a table with the columns features and labels: as --features"),
        ("--images", "a folder with one folder of images per class, or train/ and test/ with them"),
    ]:
        data.add_argument(flag, type=Path, metavar="PATH", help=holds)
    data.add_argument("--like", metavar="STUDY", help="a study that comes with the workflow")
    command.add_argument("--labels", type=Path, metavar="PATH", help="labels (N,), from 0")
    command.add_argument(
        "--backbone", metavar="CALLABLE", help=f"of --images: {own_code.FORMS} (default: trained)"
    )
    command.add_argument(
        "--folder", type=Path, default=Path(), help="of the workspace (default: the present one)"
    )
    command.set_defaults(run=_init)
    command = commands.add_parser(
        "widen", help="add λ to a study whose best λ stand at an end of its grid"
    )
    command.add_argument("study", help="its name; its results decide")
    command.set_defaults(run=_widen)
    command = commands.add_parser(
        "expected", help="what is not as finished studies expect (their key expected)"
    )
    command.add_argument("studies", nargs="*", help="their names (default: all in results/)")
    command.set_defaults(run=lambda given: expectations.compared(given.studies))
    return parser


def init(given: argparse.Namespace) -> list[Path]:
    """Write a workspace; return its files. Raises CobayeError, and writes nothing then."""
    study = Path("config/studies") / f"{given.name}.yaml"
    study_files.name(given.name, study)
    if given.name in RESERVED:
        raise ConfigError(f"{study}: a study may not be named {given.name!r}")
    if given.labels is not None and (given.images or given.like):
        raise ConfigError("--labels: for --features and --parquet only")
    if given.backbone is not None and not given.images:
        raise ConfigError("--backbone: for --images only")
    for key in ("features", "parquet", "images", "labels"):
        if getattr(given, key) is not None:
            setattr(given, key, Path(os.path.abspath(getattr(given, key))))
    with _making_folders(given.folder):
        given.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(given.folder):
        texts = templates.for_editors(templates.common(given.name) | _of_data(given))
        there = [name for name in texts if os.path.lexists(name)]
        # Some of them, as they would be written, are what a call that was killed has left.
        if len(there) == len(texts) or any(_differs(name, texts[name]) for name in there):
            raise ConfigError(
                f"{', '.join(there)}: there already, and no file is overwritten: make a workspace "
                "of its own with --folder"
            )
        for name, text in texts.items():
            with _making_folders(Path(name)):
                Path(name).parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(name, text.encode())
    return [given.folder / name for name in texts]


def _differs(name: str, text: str) -> bool:
    """Tell whether what stands at a path is anything but a file with this text."""
    return not os.path.isfile(name) or Path(name).read_bytes() != text.encode()


@contextlib.contextmanager
def _making_folders(path: Path) -> Iterator[None]:
    try:
        with writable(path):
            yield
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"{error.filename}: a file stands where a folder is needed") from None


def _of_data(given: argparse.Namespace) -> dict[str, str]:
    if given.like is not None:
        return given_data.of_shipped(given.name, given.like)
    if given.images is not None:
        if Path.cwd().is_relative_to(given.images):
            raise ConfigError(
                f"--images: {given.images} holds the workspace: name another --folder"
            )
        return given_data.of_images(given.name, _relative(given.images), given.backbone)
    labels = None if given.labels is None else _relative(given.labels)
    return given_data.of_features(given.name, _relative(given.features or given.parquet), labels)


def _relative(path: Path) -> Path:
    """Return a path relative to the workspace, where it lies inside."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
