"""The lab a chapter opens: its profile and seed on the way in, its record on the way out."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from PIL import Image
from torch import Tensor

from labkit.chapters.chapter import Chapter, find_chapter
from labkit.data.images import Images
from labkit.data.sets import DataSet, Divisible
from labkit.data.sources.registry import SOURCES
from labkit.data.store import load_any
from labkit.errors import LabkitError
from labkit.lab import provenance
from labkit.lab.clock import Clock, spent
from labkit.lab.edited import edited_cells
from labkit.lab.evidence import Evidence
from labkit.lab.networks import public, small
from labkit.lab.once import once
from labkit.lab.record import LARGEST_PICTURE, PICTURED, Record, Row, best_records
from labkit.lab.rehearsal import not_yet_run
from labkit.lab.report import Report
from labkit.lab.standing import code_state
from labkit.models.normalized import Normalized
from labkit.paths import cache_folder, write_atomically
from labkit.profile import checked_profile
from labkit.randomness import seeded
from labkit.source.meaning import digest
from labkit.training.callbacks import Callback
from labkit.training.checkpoint import Checkpoint, arithmetic
from labkit.training.fastest import fastest
from labkit.training.kept import kept
from labkit.training.precision import prefer
from labkit.trees import moved

T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """Runs that a figure is drawn from: what to call them, and their records (one a seed)."""

    label: str
    records: Sequence[Record]

    def rows(self, table: str) -> list[Row]:
        """Return the rows of `table` over all runs, each with its `seed`."""
        return [{"seed": record.seed} | row for record in self.records for row in record.rows[table]]


class Lab:
    """One run of one chapter: gives it device and data, takes its rows, claims and pictures."""

    def __init__(self, chapter: Chapter, record: Record, device: torch.device) -> None:
        self.chapter, self.profile, self.seed, self.device = chapter, record.profile, record.seed, device
        self.recorded = best_records(chapter, chapter.root / "results")
        self.folder = Path(os.environ.get("LABKIT_RESULTS") or chapter.root / "runs")
        self._record = record
        self.code = code_state(self.recorded, chapter)
        self._started = spent()
        self._clocks: list[Clock] = []
        self._pictures: dict[str, bytes] = {}
        self._evidence = Evidence()
        self._report: tuple[int, Report] | None = None  # of how many claims
        self._figures: dict[str, int] = {}
        # On a page of the book, recorded runs are all there is to see; in a notebook, one's own come first.
        self.on_page = "LABKIT_PAGE" in os.environ

    def pick(self, *, smoke: T, laptop: T, full: T) -> T:
        """Return the value for the profile of this run."""
        return {"smoke": smoke, "laptop": laptop, "full": full}[self.profile]

    def data(self, name: str, n_train: int | None = None) -> tuple[DataSet, DataSet]:
        """Return train and test set of `name` on the lab's device, and print which they are.

        The smoke profile takes the embedded set that stands in for `name`, whatever is on the machine. With
        `n_train`, only the first so many training examples. Raises LabkitError where the set is unknown, not
        there, damaged, smaller, or has no first examples.
        """
        train, test = self._split(name, "train"), self._split(name, "test")
        if n_train is not None:
            if not isinstance(train, Divisible):
                raise LabkitError(f"{train.name} has no first {n_train} examples: it is taken as a whole")
            train = train.first(n_train)
        train, test = self._handed_out(train), self._handed_out(test)
        if train.differences:
            print(f"differs from the original: {train.differences}")
        return train, test

    def images(self, name: str, n_train: int | None = None) -> tuple[Images, Images]:
        """Return the same as `data`, of a set of images; raises LabkitError for any other."""
        train, test = self.data(name, n_train)
        if not isinstance(train, Images) or not isinstance(test, Images):
            raise LabkitError(f"{train.name} holds no images: ask for it with lab.data")
        return train, test

    def test_images(self, name: str) -> Images:
        """Return the test set of `name` alone: of a set that only judges, and may have no other."""
        part = self._handed_out(self._split(name, "test"))
        if not isinstance(part, Images):
            raise LabkitError(f"{part.name} holds no images: ask for it with lab.data")
        if part.differences:
            print(f"differs from the original: {part.differences}")
        return part

    def _split(self, name: str, split: Literal["train", "test"]) -> DataSet:
        """Return one split of `name`, or in the smoke profile of the embedded set that stands in for it."""
        if self.profile != "smoke":
            return load_any(name, split)
        if name not in SOURCES:
            raise LabkitError(f'no embedded set stands in for "{name}"; one does for: {", ".join(SOURCES)}')
        stand_in = SOURCES[name].stand_in
        return stand_in.make(split, stand_in.examples[split == "test"])

    def _handed_out(self, part: DataSet) -> DataSet:
        """Note `part` in the record, print what it is, and return it on the lab's device."""
        kind = "images" if isinstance(part, Images) else "examples"
        self._record.data.append(
            {
                "name": part.name,
                kind: len(part),
                "fingerprint": part.fingerprint,
                "differences": part.differences,
            }
        )
        print(f"{part.name}: {len(part):,} {kind}, fingerprint {part.fingerprint}")
        return part.to(self.device)

    def pretrained(self, name: str) -> Normalized:
        """Return the public network `name` on the lab's device, in eval mode; it takes pixels 0..255.

        The smoke profile takes a small network instead, trained in seconds on the embedded set that stands in
        for the data of `name`, whatever is on the machine. Raises LabkitError for an unknown name, and where
        the weights are not there or not the published ones.
        """
        model, note = (small if self.profile == "smoke" else public)(name, self.device)
        if note not in self._record.weights:
            self._record.weights.append(note)
        print(f"{note['name']}: {note['source']}, licence: {note['licence']}")
        return model

    def checkpoint(self, name: str) -> list[Callback]:
        """Return the callbacks, the last of their `fit`, with which a killed run resumes exactly.

        `name` tells the trainings of a chapter apart. Checkpoints stay under `runs/`; those of other code,
        data or parameters, or computed by another torch, in another precision or on a CPU by other threads,
        are ignored. The smoke profile takes seconds and gets none.
        """
        if self.profile == "smoke":
            return []
        return [self._clock(), Checkpoint(*self._kept(name))]

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """Return the tree (`labkit.trees`) that `compute` returns; a killed run that had it has it again.

        For long computations that are no training. `name` tells them apart; their results are kept beside
        the checkpoints and ignored where those are, and the smoke profile keeps none. Tensors are on the
        lab's device, and the random generators where `compute` left them, wherever the tree is from.
        """
        tree = compute() if self.profile == "smoke" else once(*self._kept(name), self._clock(), compute)
        here: T = moved(tree, self.device)
        return here

    def shared(self, name: str, function: Callable[..., T], **arguments: Any) -> T:
        """Return the tree `function(**arguments)`, computed once for all seeds; the record names it.

        For what costs more than a seed may, a robust network for instance. `labkit.training.kept` says what
        it is known by, and keeps it in the user's cache folder, of every profile. Its seconds are not those
        of the run. Tensors are on the lab's device.
        """
        started = spent()
        tree, key = kept(cache_folder() / "zoo", function, self.device, **arguments)
        self._started += spent() - started
        note = {
            "name": name,
            "source": f"{function.__module__}.{function.__qualname__}, once for all seeds",
            "licence": "MIT",
            "fingerprint": key,
        }
        if note not in self._record.weights:
            self._record.weights.append(note)
        here: T = moved(tree, self.device)
        return here

    def _clock(self) -> Clock:
        self._clocks.append(Clock())
        return self._clocks[-1]

    def _kept(self, name: str) -> tuple[Path, str]:
        """Return where under `runs/` the state of `name` is kept, and the key of all that it depends on."""
        record = self._record
        computed = (self.device.type, arithmetic(self.device))
        cells = edited_cells(self.chapter)  # the code is that of the file: in JupyterLab it may be another
        made_of = (record.code, record.parameters, [*record.data, *record.weights], computed, name, cells)
        folder = self.chapter.root / "runs" / self.chapter.slug / self.profile / f"seed-{self.seed}"
        file = f"{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.safetensors"
        return folder / file, digest([json.dumps(made_of)])

    def record(self, table: str, rows: Sequence[Mapping[str, Any]], *, timed: bool = False) -> None:
        """Keep `rows` (text, numbers or None by column) as the table of one requirement, such as ``R4``.

        A second call replaces the first, so that a cell can be run again. `timed` tables are measured by a
        clock, and differ from run to run.
        """
        if not rows:
            raise LabkitError(f"{self.chapter.slug}: the table {table} has no rows")
        self._record.rows[table] = [dict(row) for row in rows]
        if timed and table not in self._record.timed:
            self._record.timed.append(table)

    def evidence(self) -> Evidence:
        """Return an empty ledger for the claims of the chapter; it takes the place of an earlier one."""
        self._evidence, self._report = Evidence(), None
        return self._evidence

    def sheet(self, table: str, picture: Tensor) -> None:
        """Keep a picture, uint8 (H, W, 3): as PNG of at most 150 kB beside the record of seed 0.

        Records of other seeds hold its hash alone.
        """
        buffer = io.BytesIO()
        Image.fromarray(picture.cpu().numpy()).save(buffer, "PNG", optimize=True)
        if buffer.tell() > LARGEST_PICTURE:
            size = f"{buffer.tell()} bytes, more than {LARGEST_PICTURE}"
            raise LabkitError(f"{self.chapter.slug}: the sheet {table} has {size}")
        self._pictures[table] = buffer.getvalue()

    def views(self, table: str) -> list[View]:
        """Return the runs to draw `table` from: this one and the best recorded ones; on a page those alone.

        Left out are those that do not have it (yet); raises LabkitError where none does.
        """
        found = []
        if self.recorded and all(table in record.rows for record in self.recorded):
            profile, count = self.recorded[0].profile, len(self.recorded)
            seeds = "1 seed" if count == 1 else f"{count} seeds"
            found = [View(f"recorded: {profile}, {seeds}", self.recorded)]
        if table in self._record.rows and not (found and self.on_page):
            found.insert(0, View(f"this run: {self.profile}, seed {self.seed}", [self._record]))
        if not found:
            there = ", ".join(self._record.rows) or "none"
            raise LabkitError(f"{self.chapter.slug}: no run has a table {table}; this one has: {there}")
        return found

    def figure_number(self, name: str) -> int:
        """Return the number of the figure called `name`: they are numbered as they are first asked for."""
        return self._figures.setdefault(name, len(self._figures) + 1)

    def pictures(self, table: str) -> list[tuple[str, bytes]]:
        """Return the PNGs of `table`, each with what to call it, in the order of `views`.

        Of recorded runs, that of seed 0 is kept. Raises LabkitError where it is not the one its record names,
        and where there is none at all.
        """
        found = []
        if self.recorded and self.recorded[0].seed == PICTURED and table in self.recorded[0].sheets:
            found = [
                (f"recorded: {self.recorded[0].profile}, seed {PICTURED}", self._recorded_picture(table))
            ]
        if table in self._pictures and not (found and self.on_page):
            found.insert(0, (f"this run: {self.profile}, seed {self.seed}", self._pictures[table]))
        if not found:
            raise LabkitError(f"{self.chapter.slug}: no run has a picture of {table}")
        return found

    def _recorded_picture(self, table: str) -> bytes:
        record = self.recorded[0]
        name, known = record.picture(table)
        path = self.chapter.root / "results" / record.chapter / record.profile / name
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest()[:16] != known:
            raise LabkitError(f"{path} is missing or is not the picture its record names")
        return content

    def report(self) -> Report:
        """Return what this run, so far, and the recorded ones say: the same report until a claim is added."""
        evidence, count = self._evidence, len(self._evidence.claims)
        if self._report is None or self._report[0] != count:
            not_run = not_yet_run(self.chapter, "full")
            report = Report(evidence, self._record, self.recorded, self.code, not_run, self.on_page)
            self._report = count, report
        return self._report[1]

    def close(self) -> Report:
        """Write the record, with its pictures, and return what it and the recorded runs found."""
        record = self._record
        earlier = sum(clock.earlier for clock in self._clocks)
        record.seconds = spent() - self._started + earlier
        record.peak_memory_mb = provenance.peak_memory_mb(self.device)
        record.claims = [claim.identity for claim in self._evidence.claims]
        record.versions = provenance.versions()  # at the end: a cell may load a library late
        folder = self.folder / record.chapter / record.profile
        for table, content in self._pictures.items():
            name = f"seed-{record.seed}-{table}.png" if record.seed == PICTURED else "-"
            if name != "-":
                write_atomically(folder / name, content)
            record.sheets[table] = f"{name} {hashlib.sha256(content).hexdigest()[:16]}"
        record.write(self.folder)
        return self.report()


def open_lab(slug: str, *, profile: str, seed: int, **parameters: Any) -> Lab:
    """Open the lab of chapter `slug` for one run and print what it runs on.

    `parameters` are the chapter's own, by name; the record names them. Raises LabkitError for an unknown
    chapter or profile.
    """
    chapter, checked = find_chapter(slug), checked_profile(profile)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # Convolutions on a GPU would round float32 to TF32: what is called float32 is float32 on every device.
    torch.backends.cudnn.allow_tf32 = False
    precision = fastest(device)
    prefer(precision)
    record = Record(
        chapter=chapter.slug,
        profile=checked,
        seed=seed,
        parameters=parameters,
        code=provenance.code_hashes(chapter, checked),
        commit=provenance.commit(chapter.root),
        hardware=provenance.hardware(device),
        precision=precision.name,
    )
    seeded(seed)
    lab = Lab(chapter, record, device)
    print(f"{chapter.slug} · profile {profile} · seed {seed} · {record.machine} · {record.precision}")
    for old in lab.recorded[:1]:
        print(f"recorded: profile {old.profile}, {old.seconds / 60:.0f} minutes a seed on {old.machine}")
    return lab
