"""What all tests share: no test writes a record of the book, and real data is asked for by a mark."""

from __future__ import annotations

import signal
from pathlib import Path

import nbformat
import pytest
import torch
from ran import NEEDS_DATA, has_real_data
from trial import write_book

from labkit.chapters.chapter import Chapter
from labkit.chapters.pairing import notebook_from
from labkit.data.images import Images
from labkit.models.resnet import ResNet

# Started in the background, Python ignores SIGINT, and so would the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_recorded_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_RESULTS", raising=False)
    monkeypatch.setenv("LABKIT_PRECISION", "float32")  # no measuring in each test


@pytest.fixture
def images() -> Images:
    """Forty images of noise, four of each class."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (40, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return Images("some", x, torch.arange(40) % 10, tuple("0123456789"), "f")


@pytest.fixture
def model() -> ResNet:
    """A residual network of eight layers, the same each time."""
    torch.manual_seed(0)
    return ResNet(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not has_real_data():
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason=NEEDS_DATA))


TINY = """```{note}
A directive.
```

```{code-cell}
:tags: [parameters]

profile = "smoke"
seed = 0
epochs = 0
rate: float = 0.1
fast = False
```

```{code-cell}
:tags: [nbval-check-output]

print("two")
1 + 1
```

```{code-cell}
import json, os, pathlib, sys

seen = [profile, seed, epochs, rate, fast, sys.executable, os.environ.get("LABKIT_RESULTS")]
pathlib.Path("../seen.json").write_text(json.dumps([*seen, os.getcwd(), os.getpid()]))
```

```{code-cell}
import time

if epochs == 13:
    raise ValueError("thirteen\\nis too many")
if epochs == 60:
    time.sleep(60)
```
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chapter:
    """A book with one chapter that needs nothing but Python; the working directory is in it."""
    monkeypatch.chdir(tmp_path)
    return write_book(tmp_path, TINY, slug="t01-tiny", title="Tiny")


@pytest.fixture
def paired(tiny: Chapter) -> Chapter:
    """The same chapter with its notebook, whose compared cell has the output it would have."""
    notebook = notebook_from(tiny)
    [compared] = [cell for cell in notebook.cells if "nbval-check-output" in cell.metadata.get("tags", [])]
    compared.execution_count = 2
    compared.outputs = [nbformat.v4.new_output("stream", name="stdout", text="two\n")]
    nbformat.write(notebook, tiny.notebook)
    return tiny
