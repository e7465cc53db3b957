"""A local HTTP server with one file and bad manners, and a small archive in the true format of CIFAR-10."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

# What is sent first, what again and again after that, and the seconds in between.
ENDLESS = {
    "slow head": (b"HTTP/1.1 200 OK\r\nX-Patience: ", b"a", 0.05),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
    "moved": (b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n", bytes(1 << 20), 0.001),
    "slow chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0", 0.05),
}


@dataclass
class EvilServer:
    """What the server is to do, and what it saw.

    `manners` says what happens to each request in turn, the last to all further ones: good, no range,
    drop (half of what is due, then the end), short (an honest half of the file), longer (one byte too many),
    altered, missing, busy, stall (half, then nothing for a while), trickle (half, then byte by byte),
    hesitant (good after half a second), slow head (headers byte by byte), continue (`100 Continue` again and
    again), moved (to itself, with a page that does not end), slow chunk (the length of a chunk, digit by
    digit), garbled (a length that is no number), coloured (busy, with control characters in the reason).
    None of them goes on for more than eight seconds.
    """

    content: bytes
    manners: list[str]
    address: str = ""
    ranges: list[str | None] = field(default_factory=list)  # the Range header of each request
    sent: int = 0  # bytes of content

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        manner = self.manners[min(len(self.ranges), len(self.manners) - 1)]
        self.ranges.append(request.headers["Range"])
        content = self.content
        if manner in ENDLESS:
            self._hold_up(request, *ENDLESS[manner])
            return
        if manner == "coloured":
            request.send_response(503, "\x1b]0;owned\x07\x1b[31mred\x9b2J" + 500 * "!")
            request.end_headers()
            return
        if manner in ("missing", "busy"):
            request.send_error(404 if manner == "missing" else 503)
            return
        if manner == "short":
            content = content[: len(content) // 2]
        elif manner == "longer":
            content += b"!"
        elif manner == "altered":
            content = content[:100] + bytes([content[100] ^ 1]) + content[101:]
        start = 0
        if self.ranges[-1] is not None and manner != "no range":
            start = int(self.ranges[-1].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                request.send_error(416)
                return
        due = content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", "many" if manner == "garbled" else str(len(due)))
        request.end_headers()
        if manner == "hesitant":
            time.sleep(0.5)
        half = len(due) // 2 if manner in ("drop", "stall", "trickle") else len(due)
        self._send(request, due[:half])
        if manner == "stall":
            time.sleep(6)
        elif manner == "trickle":
            for i in range(half, half + 120):
                time.sleep(0.05)
                self._send(request, due[i : i + 1])

    def _hold_up(self, request: BaseHTTPRequestHandler, head: bytes, more: bytes, pause: float) -> None:
        request.wfile.write(head)
        end = time.monotonic() + 8
        while time.monotonic() < end:
            self._send(request, more)
            time.sleep(pause)

    def _send(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        request.wfile.write(content)
        self.sent += len(content)


@contextmanager
def serving(content: bytes, *manners: str) -> Iterator[EvilServer]:
    """Serve `content` at every path of a local address."""
    evil = EvilServer(content, list(manners))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                evil.answer(self)
            except OSError:  # the client had enough
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    evil.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield evil
    finally:
        server.shutdown()
        server.server_close()


class _Python2(pickle._Pickler):
    """Writes text and bytes as Python 2 wrote its str, the way the batches of CIFAR-10 are stored."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_str(self, text: str | bytes) -> None:
        raw = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_str


def pickled(value: Any) -> bytes:
    """Protocol 2, the strings of Python 2, and numpy's functions under the names they had then."""
    file = io.BytesIO()
    _Python2(file, 2).dump(value)
    return file.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def cifar_archive(images: NDArray[np.uint8], labels: list[int], evil_batch: bytes | None = None) -> bytes:
    """`cifar-10-python.tar.gz` of `images` (6 n, 32, 32, 3), n in each of five train batches and the test."""
    n = len(images) // 6
    members = {"batches.meta": pickled({"num_cases_per_batch": n, "label_names": CLASSES, "num_vis": 3072})}
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        batch = {
            "batch_label": name,
            "labels": labels[i * n : (i + 1) * n],
            "data": images[i * n : (i + 1) * n].transpose(0, 3, 1, 2).reshape(n, 3072),
            "filenames": [f"caf\xe9_{j}.png" for j in range(n)],
        }
        members[name] = pickled(batch)
    members["readme.html"] = b"<a href='https://www.cs.toronto.edu/~kriz/cifar.html'>"
    if evil_batch is not None:
        members["data_batch_3"] = evil_batch
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()
