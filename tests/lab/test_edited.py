"""A training that was edited by hand is trained again: its checkpoint is of other code than the chapter's."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import HEADER
from IPython.core.interactiveshell import InteractiveShell

from labkit.chapters.bootstrap import bootstrap
from labkit.chapters.chapter import Chapter
from labkit.lab import edited
from labkit.lab.edited import edited_cells
from labkit.lab.session import open_lab

PARAMETERS = 'profile = "smoke"\nseed = 0\nepochs = 0'
TRAINING = "rate = 0.1\nnet = train(rate)"
EXERCISE = "def f():\n    # solution\n    return 1\n    # end\n\n\ncheck(f)"
SOURCE = f"""{HEADER}# T

```{{code-cell}}
:tags: [parameters]

{PARAMETERS}
```

```{{code-cell}}
{TRAINING}
```

```{{code-cell}}
:tags: [exercise]

{EXERCISE}
```
"""


@pytest.fixture
def shell(tiny: Chapter, monkeypatch: pytest.MonkeyPatch) -> Any:
    tiny.source.write_text(SOURCE)
    shell = InteractiveShell()
    monkeypatch.setattr(edited, "get_ipython", lambda: shell)
    return shell


def test_without_an_ipython_nothing_is_edited(tiny: Chapter) -> None:
    assert edited_cells(tiny) == []


def test_the_cells_of_the_chapter_are_no_edits(tiny: Chapter, shell: Any) -> None:
    inputs = [
        bootstrap("https://github.com/a/b").source,
        PARAMETERS,
        '# Parameters\nprofile = "laptop"\nseed = 1',
        'profile = "laptop"  # mine\nepochs: int = 3',
        TRAINING,
        f"{TRAINING}\n",
        "def f():\n    ...  # your turn\n\n\ncheck(f)",
        EXERCISE,
        "",
    ]
    for text in inputs:
        shell.history_manager.store_inputs(shell.execution_count, text)
    assert len(shell.user_ns["In"]) > len(inputs)
    assert edited_cells(tiny) == []


@pytest.mark.parametrize(
    "text", ["rate = 0.2\nnet = train(rate)", "rate = 0.2", "net = train(0.2)", "seed, x = 1, 2", "%time x"]
)
def test_what_else_was_executed_is_an_edit_once(tiny: Chapter, shell: Any, text: str) -> None:
    for line in (TRAINING, text, TRAINING, text):
        shell.history_manager.store_inputs(shell.execution_count, line)
    assert edited_cells(tiny) == [text]


def test_an_edit_has_a_checkpoint_of_its_own(tiny: Chapter, shell: Any) -> None:
    lab = open_lab("t01-tiny", profile="laptop", seed=0)
    before = lab._kept("net")
    shell.history_manager.store_inputs(1, TRAINING)
    assert lab._kept("net") == before
    shell.history_manager.store_inputs(2, TRAINING.replace("0.1", "0.2"))
    path, key = lab._kept("net")
    assert path == before[0]
    assert key != before[1]
    shell.history_manager.store_inputs(3, TRAINING.replace("0.1", "0.2"))
    assert lab._kept("net") == (path, key), "the same edit goes on from its own checkpoint"
