"""Jobs: what Snakemake hands to the function of a stage, and the manifests read so far."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cobaye.errors import StaleFile
from cobaye.storage import code_digest, files, manifests, paths


@dataclasses.dataclass
class Job:
    """One job of a stage.

    stage: the name in the manifest. identity: the wildcards of the path. recipe: JSON values.
    code: the digest of the code. expected: path of a manifest → the fingerprint that the config
    gives it now. device: "cpu" or "cuda". threads: processors. memory: the share of this machine's
    memory that inputs may take. root: the project's folder. inputs: path → sha256 of every manifest
    read so far. script, uses: what `code` is the digest of, see `code_digest`; without a script, it
    is not checked. tree: the digest of all code when the job was planned.
    """

    stage: str
    identity: dict[str, Any]
    recipe: Any
    code: str
    expected: Mapping[str, str] = dataclasses.field(default_factory=dict)
    device: str = "cpu"
    threads: int = 1
    memory: float = 0.5
    root: Path = Path()
    inputs: dict[str, str] = dataclasses.field(default_factory=dict)
    script: Path | None = None
    uses: Sequence[tuple[str, str]] = ()
    tree: str | None = None

    @property
    def path(self) -> Path:
        """The path of the manifest that this job writes last."""
        return self.root / paths.manifest(self.stage, self.identity)

    @property
    def folder(self) -> Path:
        """The folder of that manifest."""
        return self.path.parent

    def read(self, stage: str, identity: Mapping[str, Any]) -> manifests.Manifest:
        """Return the manifest of an earlier stage, and count it among the inputs.

        Raises CorruptFile for a damaged one. Raises StaleFile for one that was made from another
        recipe, other code or other inputs than the current ones.
        """
        place = paths.manifest(stage, identity)
        path = self.root / place
        manifest = manifests.read_manifest(path, stage, identity)
        if place in self.expected:
            manifests.require_fresh(path, manifest, self.expected[place])
        # The inputs of a dataset are its sources: large, and compared when the graph is built.
        if stage != "prepare_dataset":
            manifests.require_inputs(path, manifest, self.root)
        self.inputs[place] = files.sha256(path)
        return manifest

    def publish(
        self, entries: dict[str, dict[str, Any]], info: dict[str, Any] | None = None
    ) -> Path:
        """Write the manifest of this job; return its path.

        entries: name of a file, relative to the manifest → its entry. info: for later stages.
        Raises StaleFile if the code was edited since the job was planned: its files would stand
        under a digest that is not that of the code that made them.
        """
        self.refuse_edited_code()
        manifest = manifests.Manifest(
            self.stage, self.identity, self.recipe, self.code, self.inputs, entries, info or {}
        )
        manifest.write(self.path)
        return self.path

    def refuse_edited_code(self) -> None:
        """Raise StaleFile if the code is no longer that which this job was planned with."""
        if self.script is None or code_digest.tree_digest() == self.tree:
            return
        code_digest.read_again()
        if code_digest.code_digest(self.script, self.uses) != self.code:
            raise StaleFile(
                f"{self.path}: the code of this job was edited after the job was planned: run the "
                "same command again"
            )
