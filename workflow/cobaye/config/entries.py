"""The keys of config.yaml, datasets.yaml and backbones.yaml: types, defaults, bounds, meanings.

A comment that begins with ``#:`` is the meaning of a key. The reference, `config/README.md`, and
the schemas for editors are made of these classes and of the `Options` of each kind.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator, with_config

from cobaye import recipes
from cobaye.storage import own_code

Count = Annotated[int, Field(ge=1)]
# Of float32 the largest is 3e38, and optimizers scale what they are given.
LARGEST = 1e30
# What torch and NumPy take.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
with_config(STRICT)(recipes.LongTail)


class Strict(BaseModel):
    """A mapping without further keys."""

    model_config = STRICT


class WithOptions(BaseModel):
    """A mapping with a `kind`; its further keys are the options of that kind."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    #: A file of the family's folder, by its name; its options stand beside it.
    kind: str

    def options(self) -> dict[str, Any]:
        """Return the keys beside `kind`."""
        return self.__pydantic_extra__ or {}


class SettingsFile(Strict):
    """config.yaml."""

    #: The studies that `snakemake` builds when no target is named.
    studies: list[str] = Field(min_length=1)
    #: `auto` uses CUDA where this machine shows an NVIDIA device, and only for jobs that run on
    #: this machine. Jobs of a cluster get a GPU only with `cuda`.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    #: Share of the machine's memory. Features that would take more are read by memory map. Results
    #: are the same.
    memory_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    #: What happens to results of an earlier version of this project. `false`: they are refused and
    #: left as they are. `true`: they are computed again. Meant for the command line: `--config
    #: recompute=true`.
    recompute: bool = False


class DatasetEntry(WithOptions):
    """An entry of datasets.yaml."""

    #: Number of jobs that cache the features of one split.
    shards: Annotated[int, Field(ge=1, le=99)] = 1
    #: Thins the training classes to a long tail: in an order of the classes that a seed gives, the
    #: images per class fall exponentially. `val` and `test` stay as they are.
    long_tail: recipes.LongTail | None = None


class SplitEntry(Strict):
    """A rule of a dataset's `splits`, which the kind of the dataset checks."""

    #: A part, or a list of parts whose images are pooled.
    of: str | list[str]
    #: Number of images, taken from the end of the part.
    last: Annotated[int, Field(ge=1, strict=True)] | None = None
    #: Share of all images of the part, drawn at random.
    fraction: Annotated[float, Field(gt=0, lt=1, strict=True)] | None = None
    #: Seed of that draw.
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    #: Whether the share is drawn within each class.
    stratified: Annotated[bool, Field(strict=True)] = False
    #: For `val` alone: whether its images are drawn from those of `train`, and are trained on too.
    #: For a split into training and test images only. Such a `val` tells nothing about new images.
    in_train: Annotated[bool, Field(strict=True)] = False


class RunEntry(Strict):
    """A run of a study, by name."""

    #: A study that was trained on images.
    study: str
    #: An entry of its `models`.
    model: str
    #: An entry of its `optimizers`.
    optimizer: str
    #: One of its `weight_decays`, as it is written there.
    weight_decay: str
    #: One of its `seeds`.
    seed: int = 0


class TorchvisionEntry(Strict):
    """A pretrained network of torchvision, with torchvision's names of network and weights."""

    #: Any classification network of torchvision that ends in a linear layer.
    model: str
    #: torchvision's name of the weights. The resizing, cropping and normalisation that belong to
    #: them are used.
    weights: str = "DEFAULT"
    #: A local state dict with these weights: `.pth`, read as data, or `.safetensors`.
    file: str | None = None
    #: Whether weights that are neither named by `file` nor in torch's cache (`TORCH_HOME`) are
    #: downloaded to it. They are used only if they have the sha256 that their name begins to tell.
    download: bool = True


class BackboneEntry(Strict):
    """An entry of backbones.yaml: one of `run`, `torchvision`, `callable`, and how it is used."""

    #: The network that a run of another study trained on images.
    run: RunEntry | None = None
    #: A network of torchvision.
    torchvision: TorchvisionEntry | None = None
    #: A network that other Python code gives, with its transform of an image: `timm:<name>`,
    #: `open_clip:<name>/<weights>`, or `<module>:<function>` of the folder in which Snakemake runs.
    #: The function's module, and what that imports from the folder, are hashed: an edit computes
    #: the features anew. Installed packages are not hashed. A module that is missing or cannot be
    #: parsed is refused when the Snakefile is read.
    callable: str | None = None
    #: Files that the code of `callable` reads, such as weights. A changed file computes the
    #: features anew.
    reads: list[str] = []
    #: Images per forward pass. On a processor, image files pass 16 at once, or fewer where this is
    #: less: the number of threads is then not seen in the features.
    batch_size: Count = 256
    #: Precision of the forward pass. The lower ones change the features (by up to 5 % of the
    #: largest, in a test on a small network).
    precision: recipes.CachingPrecision = "float32"
    #: Precision of the cached features. `float16` halves their size. In a test on made features, it
    #: moved the test loss by less than 1e-3 nats and changed no more than one image in 300.
    storage: recipes.Storage = "float32"
    #: Image files that cannot be decoded. `false`: they stop the job, which lists all of them in
    #: its shard. `true`: they are left out with their labels and listed in the manifest.
    skip_unreadable: bool = False
    #: Threads of each caching job. With 2 or more, as many processes decode image files.
    threads: Count = 1
    #: Datasets whose training images the backbone was not trained on. On these, the way
    #: `hypergradient` of `per_class` may judge λ by training images too.
    never_saw: list[str] = []

    @model_validator(mode="after")
    def _one_origin(self) -> BackboneEntry:
        if [self.run, self.torchvision, self.callable].count(None) != 2:
            raise ValueError("give one of run, torchvision and callable")
        if self.reads and self.callable is None:
            raise ValueError("reads: for a callable only")
        return self

    @field_validator("callable")
    @classmethod
    def _form(cls, name: str | None) -> str | None:
        if name is not None and not own_code.is_form(name):
            raise ValueError(f"{name!r}: give {own_code.FORMS}")
        return name
