"""`--force` trains again what has been trained, to the same rows."""

from __future__ import annotations

import json

from click.testing import CliRunner
from trial import PARAMETERS, cell, write_book

from labkit.chapters.chapter import Chapter
from labkit.chapters.pairing import pair
from labkit.commands.main import main

STEPS = 12
# A training that is checkpointed, and that leaves a line for each step it computes; something done once.
TRAINING = f"""
import torch

import labkit
from labkit.data.augment import raw
from labkit.data.batches import Loader
from labkit.data.embedded.glyphs import glyphs
from labkit.training.callbacks import Callback
from labkit.training.fit import fit

class Tell(Callback):
    def on_step_end(self, training):
        with open("../steps", "a") as file:
            print(training.step, file=file)

def noise():
    with open("../steps", "a") as file:
        print("once", file=file)
    return torch.rand(1).item()

lab = labkit.open_lab("t01-tiny", profile=profile, seed=seed, epochs=epochs)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
optimizer = torch.optim.SGD(model.parameters(), 1e-5)
loader = Loader(glyphs("train", 80), 20, [raw], seed)
history = fit(model, loader, {STEPS}, optimizer, callbacks=[Tell(), *lab.checkpoint("net")])
lab.record("R2", [{{"noise": lab.once("noise", noise)}}])
lab.record("R1", [{{"step": step, "loss": loss}} for step, loss in history.sampled("loss", 1)])
lab.close()
"""


def test_force_trains_again_to_the_same_rows(tiny: Chapter) -> None:
    write_book(tiny.root, PARAMETERS, cell(TRAINING), slug=tiny.slug)
    pair(tiny)
    record = tiny.root / "results" / "t01-tiny" / "laptop" / "seed-0.json"
    rows = []
    told = [*(str(step) for step in range(STEPS)), "once"]
    for option in ((), ("--force",)):
        result = CliRunner().invoke(main, ["run", "t01", "--profile", "laptop", *option])
        assert result.stdout == "t01-tiny: recorded: results/t01-tiny/laptop/seed-0.json\n"
        rows.append(json.loads(record.read_text())["rows"])
        assert len(list((tiny.root / "runs/t01-tiny/laptop/seed-0").glob("*.safetensors"))) == 2
    assert (tiny.root / "steps").read_text().split() == 2 * told
    assert len(rows[0]["R1"]) == STEPS
    assert rows[0] == rows[1]
