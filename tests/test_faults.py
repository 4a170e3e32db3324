"""Every open, write, fsync and rename fails once: files are old or new, and a rerun mends it."""

from __future__ import annotations

import ast
import errno
import os
import re
import shutil
import traceback

import pytest

from cobaye import figures, kinds
from cobaye.errors import CorruptFile, UnwritableFile
from cobaye.storage import files, journal, manifests, table_names
from cobaye.tables import tabulate
from tests import chain

CRASHED, SAID, COMPLETE, UNEXPECTED = 9, 7, 0, 1
RULES = [stage.rule for stage in chain.stages()]


class Faults:
    """What the system is asked for by `files` and `journal`, counted; the n-th time it fails.

    A crash ends this process there and then, half of a write done; a full disk is an error.
    """

    def __init__(self, number: int, crash: bool):
        self.left, self.crash = number, crash

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the system, until the patch is undone."""
        for name in ("fsync", "replace", "link"):
            patch.setattr(os, name, self.failing(getattr(os, name)))
        for module in (files, journal):
            patch.setattr(module, "open", self.open, raising=False)

    def failing(self, call):
        def faulty(*arguments):
            if self.due():
                self.fail()
            return call(*arguments)

        return faulty

    def open(self, path, mode):
        if mode != "rb" and self.due():
            self.fail()
        return FaultyFile(open(path, mode, buffering=0), self) if mode != "rb" else open(path, mode)

    def due(self) -> bool:
        self.left -= 1
        return self.left == 0

    def fail(self) -> None:
        if self.crash:
            os._exit(CRASHED)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FaultyFile:
    """A file whose write may fail half-way."""

    def __init__(self, file, faults):
        self.file, self.faults = file, faults

    def write(self, data):
        data = memoryview(data).cast("B")
        if self.faults.due():
            self.file.write(data[: len(data) // 2])
            self.faults.fail()
        return self.file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)


def run_with_fault(stage, root, number, crash) -> tuple[int, bool]:
    """Run a stage; return its end, and whether there was a fault. A crash is another process's."""
    if not crash:
        return end_with_fault(stage, root, Faults(number, crash))
    child = os.fork()
    if child == 0:
        try:
            # The bit: whether the fault was met.
            end, met = end_with_fault(stage, root, Faults(number, crash))
            os._exit(end + 32 * met)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(UNEXPECTED)
    end = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return end % 32, end == CRASHED or end >= 32


def end_with_fault(stage, root, faults) -> tuple[int, bool]:
    with pytest.MonkeyPatch.context() as patch:
        faults.install(patch)
        try:
            stage.run(root)
            end = COMPLETE
        except UnwritableFile:
            end = SAID
    return end, faults.left <= 0


# Those that are read, and one more: one function writes them all.
TABLES = tuple(dict.fromkeys(("runs", *chain.FIGURE["tables"])))


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """The state after each stage, of the study and of one on other data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "render", quick_render)
        patch.setattr(tabulate, "_tables", quick_tables)
        patch.setattr(table_names, "FILES", {name: table_names.FILES[name] for name in TABLES})
        # That it is called, and when, is in test_files; here nobody pulls the plug.
        patch.setattr(os, "fsync", lambda descriptor: None)
        folder = tmp_path_factory.mktemp("states")
        yield chain.build(folder / "new"), chain.build(folder / "old", seed=1)
    table_names.makers.cache_clear()  # made while some tables were left out


def quick_render(kind, tables, options, width):
    """Return "figures" in no time: only how they are written matters here."""
    table = tables["classes"].to_csv().encode()
    return {suffix: suffix.encode() + table for suffix in ("svg", "pdf", "png")}


def quick_tables(job, raw):
    """Return tables in no time."""
    return dict.fromkeys(TABLES, raw["metrics"])


def vouched(root, stage) -> dict[str, bytes] | None:
    """Return what the manifest of a stage vouches for, itself included; None if it does not."""
    path = root / stage.manifest
    try:
        content = files.read_json(path)
        manifest = manifests.read_manifest(path, stage.rule, content["identity"])
        found = {name: manifest.check(path.parent, name).read_bytes() for name in manifest.files}
    except CorruptFile:
        return None
    return {**found, path.name: path.read_bytes()}


def temporaries(root) -> list[str]:
    return [str(path) for path in root.rglob(f"{files.TEMPORARY}*")]


def remains(root) -> dict[str, bytes]:
    """Return what a fault left. Where two faults left the same, one is mended for both.

    Content does not count of temporary files, whose names alone are looked at, nor of run.json.
    """
    found = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    return {
        re.sub(r"\.tmp-\d+", files.TEMPORARY, name): b"" if unread(name) else path.read_bytes()
        for name, path in found.items()
    }


def unread(name) -> bool:
    return files.TEMPORARY in name or name.endswith("run.json")


@pytest.mark.parametrize("crash", [True, False], ids=["crash", "full-disk"])
@pytest.mark.parametrize("number", sorted({RULES.index(rule) for rule in RULES}))
def test_every_write_fails_once(states, tmp_path, number, crash):
    """A crash falls on what stood before; the disk gets full where nothing stood."""
    new, old = states
    stage, before = chain.stages()[number], new[number - 1]
    after = chain.contents(new[number])
    over = chain.contents(old[number]) if crash else {}
    whole = {"new": vouched(new[number], stage), "old": vouched(old[number], stage)}
    assert whole["new"] != whole["old"]
    mended = []
    for fault in range(1, 1000):
        root = chain.clone(before, tmp_path / str(fault))
        if crash:
            for name in over.keys() - chain.contents(old[number - 1]).keys():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                os.link(old[number] / name, root / name)
        end, met = run_with_fault(stage, root, fault, crash)
        assert end in (CRASHED, SAID, COMPLETE)
        found = {k: v for k, v in chain.contents(root).items() if files.TEMPORARY not in k}
        assert all(data in (after.get(name), over.get(name)) for name, data in found.items())
        assert vouched(root, stage) in [None, *whole.values()]
        if not crash:
            assert temporaries(root) == []
        if (left := remains(root)) not in mended:
            mended.append(left)
            stage.run(root)
            assert chain.contents(root) == after
            assert temporaries(root) == []
        shutil.rmtree(root)
        if not met:
            assert end == COMPLETE
            break
    assert fault > 10


# Who opens a file for writing, or names one, but for `files` itself: the locks of a run and of a
# download hold no result, the log of a rule is text for people, and what a journal names is known
# by its sha256. What was parsed of sources is no result; it is sealed, written beside its place and
# moved there.
WRITERS = {(file, "os.open") for file in ("resume.py", "downloads.py")} | {("_worker.py", "open")}
# The name of a process, which is no file.
WRITERS |= {("_forks.py", "Path('/proc/self/comm').write_text")}
WRITERS |= {("parsed_sources.py", call) for call in ("os.replace", "temporary.write_bytes")}
WRITERS |= {("journal.py", "open")}
MAKES_FILES = {
    "open",
    "os.open",
    "os.replace",
    "os.rename",
    "os.link",
    "os.symlink",
    "io.open",
    "shutil.copy",
    "shutil.copyfile",
    "shutil.copytree",
    "shutil.move",
    "np.save",
    "np.savez",
    "np.savetxt",
    "np.memmap",
    "torch.save",
    "safetensors.torch.save_file",
    "json.dump",
    "pickle.dump",
}
METHODS = {"write_text", "write_bytes", "touch", "to_csv", "to_parquet", "tofile", "open"}
# Into memory: a text that `files` then writes, a buffer; and files that are read.
IN_MEMORY = {
    ("writing.py", "table.to_csv"),
    ("image_files.py", "Image.open"),
    ("publishing.py", "np.save"),
}


def writing_calls(file):
    """Return the calls in a module by which it might write a file itself."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        mode = ast.unparse(node.args[1]) if len(node.args) > 1 else "'r'"
        if called == "open" and mode in ("'r'", "'rb'"):
            continue
        if called == "np.memmap" and "'r'" in map(ast.unparse, node.args):
            continue
        method = isinstance(node.func, ast.Attribute) and node.func.attr in METHODS
        if called in MAKES_FILES or (method and not called.startswith("files.")):
            yield file.name, called


def test_no_other_module_writes():
    found = {
        call
        for folder in (kinds.ROOT, kinds.ROOT.parent / "scripts")
        for file in folder.rglob("*.py")
        if file.name != "files.py"
        for call in writing_calls(file)
    }
    assert found == WRITERS | IN_MEMORY
