"""A server on this machine in place of the hosts from which torchvision downloads."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# Appended to a copy of `_archives.py`: where that finds MNIST, in place of its makers' address.
PUBLISHED = """
import torchvision as _torchvision

_torchvision.datasets.MNIST.mirrors = [{mirror!r}]
_torchvision.datasets.MNIST.resources = {resources!r}
"""
# Pieces in which a file is sent.
PIECES = 20


class Host(ThreadingHTTPServer):
    """Serves the files of a folder, as its attributes say.

    damage: what becomes of a file's bytes on their way. pause: seconds before each of its pieces.
    sent: the names of the files whose bytes were asked for.
    """

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.pause, self.sent = folder, 0.0, []
        self.damage: Callable[[bytes], bytes] = bytes

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def leave(self) -> None:
        """End: from now on connections are refused."""
        self.shutdown()
        self.server_close()

    def handle_error(self, *told: object) -> None:
        """Say nothing of a connection that its client broke."""


class Handler(BaseHTTPRequestHandler):
    """Answers a request; the whole length is stated, whatever is sent."""

    def do_GET(self) -> None:
        file = self.server.folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        # torchvision asks first whether it is led elsewhere, and reads nothing then.
        if self.headers.get("Method") == "HEAD":
            return
        self.server.sent.append(file.name)
        data, size = self.server.damage(data), -(-len(data) // PIECES)
        for start in range(0, len(data), size):
            time.sleep(self.server.pause)
            self.wfile.write(data[start : start + size])

    def log_message(self, *told: object) -> None:
        """Say nothing."""


def start(folder: Path) -> Host:
    """Serve a folder until `leave`, or the end of this process."""
    host = Host(folder)
    threading.Thread(target=host.serve_forever, args=(0.05,), daemon=True).start()
    return host


def pack_mnist(raw: Path, to: Path) -> list[tuple[str, str]]:
    """Pack the files of MNIST, and remove them; return torchvision's `resources`."""
    resources = []
    for file in sorted(raw.iterdir()):
        packed = to / f"{file.name}.gz"
        packed.write_bytes(gzip.compress(file.read_bytes(), 1))
        file.unlink()
        resources.append((packed.name, md5(packed)))
    return resources


def pack_cifar(loader: Any, folder: Path, to: Path) -> str:
    """Pack a folder of CIFAR, and remove its files; return the md5 of the archive."""
    packed, unpacked = to / loader.filename, folder / loader.base_folder
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(unpacked, loader.base_folder)
    for file in unpacked.iterdir():
        file.unlink()
    return md5(packed)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()
