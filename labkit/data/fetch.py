"""Fetching a real data set: several servers, checksums, resuming, and nothing half there at the end."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pooch
import requests
import urllib3
from filelock import FileLock
from tqdm import tqdm

from labkit.data import store
from labkit.data.sources.registry import SOURCES
from labkit.data.sources.source import PublishedFile
from labkit.data.timed_session import TimedSession
from labkit.data.weights import WEIGHTS
from labkit.errors import LabkitError
from labkit.paths import data_folder

CHUNK = 1 << 16


@dataclass(frozen=True)
class Patience:
    """When a server is given up.

    Attributes:
        timeout: seconds in which a server must have answered, redirects and all headers included, and
            seconds without a byte after that, before the next server is tried.
        min_speed: bytes/s, over `window` seconds, below which the next server is tried.
        window: seconds.
        attempts: how often one server may break off before the next is tried.
        backoff: seconds before the second attempt; twice as long before each further one.
    """

    timeout: float = 20.0
    min_speed: float = 20_000.0
    window: float = 20.0
    attempts: int = 4
    backoff: float = 1.0


USUAL = Patience()


class GivenUpError(Exception):
    """This server will not give the file: the next one is tried."""


class BrokenOffError(Exception):
    """The transfer ended early: the same server is worth another attempt."""


def fetch(name: str, mirrors: Sequence[str] = (), patience: Patience = USUAL) -> Path:
    """Download `name` into the data folder unless it is there and intact; return the path of its npz.

    `mirrors` are addresses of folders that hold the published files, tried before the known ones. What was
    downloaded when a transfer or the process ended is kept, and the next call goes on from there. Of several
    processes one fetches; the others wait for it. Raises LabkitError where no server gives the files or the
    disk is full.
    """
    if name not in SOURCES:
        raise LabkitError(f'"{name}" cannot be fetched; these can: {", ".join([*SOURCES, *WEIGHTS])}')
    with undisturbed(name, data_folder()) as downloads:
        if not _is_intact(name):
            _fetch_into(downloads, name, [*mirrors, *SOURCES[name].mirrors], patience)
    return data_folder() / f"{name}.npz"


@contextmanager
def undisturbed(name: str, folder: Path) -> Iterator[Path]:
    """Give a folder for the downloads of `name` in `folder`, to one process at a time; the others wait.

    What is in it goes when all went well, and is kept after a LabkitError. Raises LabkitError for an OSError.
    """
    downloads = folder / f"{name}.download"
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{name}.lock"):
            yield downloads
            shutil.rmtree(downloads, ignore_errors=True)
    except OSError as error:
        raise LabkitError(
            f"cannot fetch {name} into {folder}: {error.strerror or error}; "
            "make room there, or set LABKIT_DATA to another folder"
        ) from error


def _fetch_into(downloads: Path, name: str, folders: Sequence[str], patience: Patience) -> None:
    source = SOURCES[name]
    paths = [download(name, file, folders, downloads, patience) for file in source.files]
    # Their checksums were right: only now may pickles be opened.
    arrays = source.read(paths)
    card = {"classes": list(source.classes), "source": source.citation, "licence": source.licence}
    store.write_set(name, arrays, card)


def _is_intact(name: str) -> bool:
    try:
        store.check(name)
    except LabkitError:
        return False
    return True


def download(
    name: str, file: PublishedFile, folders: Sequence[str], downloads: Path, patience: Patience
) -> Path:
    """Return `file`, its checksum right, from the first of `folders` that gives it, in `downloads`."""
    reasons = []
    for folder in folders:
        try:
            return _from_one_server(f"{folder}/{file.name}", file, downloads, patience)
        except GivenUpError as reason:
            reasons.append(f"{urlsplit(folder).netloc} {reason}")
        except OSError:  # the disk is full: it is not left so
            shutil.rmtree(downloads, ignore_errors=True)
            raise
    raise LabkitError(
        f"cannot fetch {name}: {'; '.join(reasons)}. What arrived is kept: try again later, or name another "
        f"server with `labkit data fetch {name} --mirror URL`"
    )


def _from_one_server(url: str, file: PublishedFile, downloads: Path, patience: Patience) -> Path:
    """Return `file` from `url`, resuming where it breaks off; raises GivenUpError."""
    part = downloads / f"{file.name}.part"
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(patience.backoff * 2 ** (attempt - 1))
        resumed = _bytes_in(part) > 0
        try:
            path: str = pooch.retrieve(
                url,
                known_hash=f"sha256:{file.sha256}",
                fname=file.name,
                path=downloads,
                downloader=_Resuming(part, file.size, patience),
            )
            return Path(path)
        except BrokenOffError as broken:
            reason = str(broken)
        except ValueError:  # pooch: wrong checksum; the file is gone
            reason = "sent a file with a wrong checksum"
            if not resumed:  # where it was, the bytes of an earlier server may be to blame
                break
    raise GivenUpError(reason)


def _bytes_in(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@dataclass(frozen=True)
class _Resuming:
    """A downloader for pooch that goes on where `part` ends; `size` is that of the whole file in bytes."""

    part: Path
    size: int
    patience: Patience

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        if _bytes_in(self.part) < self.size:
            reason = ""
            with TimedSession(self.patience.timeout) as session:
                try:
                    self._transfer(url, session)
                except (requests.Timeout, urllib3.exceptions.TimeoutError):
                    reason = f"sent nothing for {self.patience.timeout:g} s"
                except requests.RequestException:
                    reason = "cannot be reached"
                except urllib3.exceptions.HTTPError:
                    pass  # the connection was lost on the way: the size tells
            if session.late:
                reason = f"sent nothing of the file for {session.seconds:g} s"
            if reason:
                raise GivenUpError(reason)
        if _bytes_in(self.part) < self.size:
            raise BrokenOffError(f"broke off after {_bytes_in(self.part):,} of {self.size:,} bytes")
        self.part.replace(output_file)  # where it is too long, the checksum will tell

    def _transfer(self, url: str, session: TimedSession) -> None:
        start = _bytes_in(self.part)
        headers = {"User-Agent": "labkit", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with session.get(url, headers=headers, stream=True, timeout=self.patience.timeout) as response:
            if not response.ok:
                again = response.status_code == 429 or response.status_code >= 500
                answer = _harmless(f"answered {response.status_code} {response.reason}")
                raise BrokenOffError(answer) if again else GivenUpError(answer)
            if response.status_code != 206:  # it ignores Range and sends the file from its beginning
                start = 0
            expected = str(self.size - start)
            if (announced := response.headers.get("Content-Length", expected)) != expected:
                raise GivenUpError(f"has {_harmless(announced)} bytes where {expected} were expected")
            self._write(response.raw, start, session)

    def _write(self, body: urllib3.HTTPResponse, start: int, session: TimedSession) -> None:
        """Append what `body` sends to the part of `start` bytes, as it arrives."""
        since, then = time.monotonic(), start
        # The speed tells at the end of each window; who sends bytes, but none of the file, is cut after this:
        longest = self.patience.window + self.patience.timeout
        session.allow(longest)
        with (
            self.part.open("ab" if start else "wb") as file,
            tqdm(
                desc=self.part.stem, total=self.size, initial=start, unit="B", unit_scale=True, disable=None
            ) as progress,
        ):
            have = start
            # read1 returns what is there; read would wait for a whole chunk, for ever on a trickling server.
            while have < self.size and (chunk := body.read1(min(CHUNK, self.size - have))):
                file.write(chunk)
                have += len(chunk)
                progress.update(len(chunk))
                if (elapsed := time.monotonic() - since) >= self.patience.window:
                    if (speed := (have - then) / elapsed) < self.patience.min_speed:
                        raise GivenUpError(f"sent only {speed / 1000:,.1f} kB/s")
                    since, then = time.monotonic(), have
                    session.allow(longest)


def _harmless(text: str) -> str:
    """Return what a server said, at most 60 characters of it and none that could steer a terminal."""
    return "".join(filter(str.isprintable, text))[:60]
