"""The command line: help that shows how, errors that are one line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner, Result
from trial import HEADER

import labkit
from labkit.chapters.chapter import Chapter
from labkit.commands.main import main
from labkit.errors import one_line


def labkit_command(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("command", [[], ["run"], ["pair"]])
def test_help_has_examples(command: list[str]) -> None:
    result = labkit_command(*command, "--help")
    assert result.exit_code == 0
    examples = result.output.partition("Examples:\n")[2].splitlines()
    assert sum(line.strip().startswith(" ".join(["labkit", *command])) for line in examples) >= 3


def test_version_and_the_data_group() -> None:
    assert labkit.__version__ in labkit_command("--version").output
    assert "fetch" in labkit_command("data", "--help").output


def test_help_waits_for_no_heavy_import() -> None:
    code = (
        "import sys, labkit.commands.main; "
        "print([m for m in ('torch', 'numpy', 'papermill', 'jupytext', 'requests') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


ERRORS = {
    "unknown chapter": (["run", "p99"], "unknown chapter 'p99'; the book has: t01-tiny"),
    "unknown parameter": (
        ["run", "t01", "-p", "epohcs=3"],
        "unknown parameter 'epohcs' of t01-tiny; it has: profile",
    ),
    "wrong type": (["run", "t01", "-p", "epochs=3.5"], "parameter epochs of t01-tiny is int, not '3.5'"),
    "unknown profile": (["run", "t01", "--profile", "huge"], "smoke, laptop, full"),
    "profile as parameter": (["run", "t01", "-p", "profile=full"], "use --profile, not -p profile"),
    "seed as parameter": (["run", "t01", "-p", "seed=1"], "use --seed, not -p seed"),
    "second of two": (["run", "t01", "p99"], "unknown chapter 'p99'"),
    "seeds a word": (
        ["run", "t01", "--seeds", "0,one"],
        "--seeds takes whole numbers and rising ranges such as 0,1,2 or 0-2, not '0,one'",
    ),
    "seeds falling": (["run", "t01", "--seeds", "2-0"], "rising ranges"),
    "seeds empty": (["run", "t01", "--seeds", ""], "rising ranges"),
    "seeds negative": (["run", "t01", "--seeds=-1"], "rising ranges"),
    "seeds past counting": (
        ["run", "t01", "--seeds", "0-999999999"],
        "--seeds 0-999999999 asks for 1,000,000,000 seeds; allowed: 1,000",
    ),
    "seeds too many": (["run", "t01", "--seeds", "0-600,601-1000"], "asks for 1,001 seeds; allowed: 1,000"),
    "negative": (["run", "t01", "-p", "epochs=-1"], "epochs of t01-tiny is a whole number from 0 to 92233"),
    "beyond 64 bits": (["run", "t01", "-p", "epochs=9223372036854775808"], "from 0 to 9223372036854775807"),
    "seed and seeds": (["run", "t01", "--seed", "1", "--seeds", "2"], "either --seed N or --seeds"),
    "engine": (["run", "t01", "--engine", "slurm"], "unknown engine 'slurm'; allowed: local, dask"),
    "GPUs of local": (["run", "t01", "--gpus", "1"], "--scheduler and --gpus are options of --engine dask"),
    "jobs of dask": (
        ["run", "t01", "--engine", "dask", "--jobs", "2"],
        "--jobs and --verbose are options of --engine local",
    ),
    "two verbose": (["run", "t01", "--jobs", "2", "--verbose"], "it goes with --jobs 1"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_one_line_and_nothing_runs(paired: Chapter, case: str) -> None:
    arguments, message = ERRORS[case]
    result = labkit_command(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not (paired.root / "runs").exists()


@pytest.mark.parametrize("command", ["list", "run", "verify", "pair"])
@pytest.mark.parametrize(
    ("file", "content"),
    [("_toc.yml", b"a: ["), ("_toc.yml", b""), ("book/t01-tiny.md", HEADER.encode() + b"\xff")],
)
def test_a_book_that_cannot_be_read_is_one_line(
    paired: Chapter, command: str, file: str, content: bytes
) -> None:
    (paired.root / file).write_bytes(content)
    result = labkit_command(command, *(["all"] if command == "run" else []))
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: cannot read {paired.root / file}: ")
    assert result.output.count("\n") == 1


def test_a_failing_chapter_does_not_stop_the_next_and_fails_the_command(paired: Chapter) -> None:
    toc = paired.root / "_toc.yml"
    toc.write_text(toc.read_text() + "- file: book/t02-tiny\n")
    second = Chapter("t02-tiny", paired.root)
    text = paired.source.read_text().replace("nbval-check-output", "hide-input")
    second.source.write_text(text)
    paired.source.write_text(text.replace("import time", "1 / 0"))
    assert labkit_command("pair").exit_code == 0
    result = labkit_command("run", "all")
    assert result.exit_code == 1
    assert (
        "Error: t01-tiny: cell In [6] of runs/t01-tiny/smoke/seed-0.failed.ipynb failed: ZeroDiv"
        in result.stderr
    )
    assert result.stdout.endswith("executed: runs/t02-tiny/smoke/seed-0.ipynb\n")


def test_pair_check_and_the_way_back(paired: Chapter) -> None:
    assert labkit_command("pair").stdout == "notebooks/t01-tiny.ipynb: up to date\n"
    assert labkit_command("pair", "--check").exit_code == 0
    paired.notebook.write_text(paired.notebook.read_text().replace("# Tiny", "# Tinier"))
    (paired.root / "notebooks" / "orphan.ipynb").write_text("{}")
    result = labkit_command("pair", "--check")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "notebooks/t01-tiny.ipynb: cell 1 differs in source",
        "notebooks/orphan.ipynb: no chapter of this name",
    ]
    result = labkit_command("pair", "t01")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert result.output.startswith("Error: notebooks/t01-tiny.ipynb is edited (cell 1): ")
    assert "Tinier" in paired.notebook.read_text()
    result = labkit_command("run", "t01", "-p", "epochs=13")
    assert result.stderr.startswith("notebooks/t01-tiny.ipynb is not book/t01-tiny.md, which is what runs\n")
    result = labkit_command("pair", "--from-notebook", "t01")
    assert result.stdout.startswith("wrote book/t01-tiny.md from notebooks/t01-tiny.ipynb;")
    assert paired.title() == "Tinier"
    assert labkit_command("pair", "--from-notebook").exit_code == 2
    assert labkit_command("pair", "--from-notebook", "--force", "t01").exit_code == 2
    paired.notebook.write_text(paired.notebook.read_text().replace("# Tinier", "# Tiniest"))
    assert labkit_command("pair", "--force").stdout == "notebooks/t01-tiny.ipynb: written\n"


def test_exercises_that_were_left_are_named(tiny: Chapter) -> None:
    cell = "```{code-cell}\n:tags: [exercise]\n\n# solution\n1\n# end\nlast\n```\n"
    tiny.source.write_text(tiny.source.read_text().replace("nbval-check-output", "figure") + f"\n{cell}")
    assert labkit_command("pair").exit_code == 0
    tiny.notebook.write_text(tiny.notebook.read_text().replace("...  # your turn", "2"))
    last = labkit_command("pair", "--from-notebook", "t01").output.splitlines()[-1]
    assert last == "exercises are as they were, not as in cell 7: edit them in book/t01-tiny.md"


def test_lab_opens_copies(paired: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, arguments: started.append(arguments))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "Error: JupyterLab is not installed here" in labkit_command("lab").output
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert labkit_command("lab").output == ""
    copy = paired.root / "runs/notebooks/t01-tiny.ipynb"
    assert started == [[sys.executable, "-m", "jupyterlab", str(copy.parent)]]
    copy.write_text(copy.read_text().replace("# Tiny", "# Mine"))
    assert labkit_command("lab").output == "runs/notebooks/t01-tiny.ipynb: kept with your edits (cell 1)\n"
    assert "# Mine" in copy.read_text()


def test_list_shows_title_parameters_and_records(paired: Chapter) -> None:
    assert "records:    none" in labkit_command("list").output
    for name in ("full/seed-10", "full/seed-2", "smoke/seed-0"):
        path = paired.root / "results" / "t01-tiny" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    (path.parent / "seed-abc.json").write_text("{}")
    assert labkit_command("list").output.splitlines() == [
        "t01-tiny: Tiny",
        "  parameters: profile (str, default 'smoke'), seed (int, default 0), epochs (int, default 0), "
        "rate (float, default 0.1), fast (bool, default False)",
        "  records:    smoke seed 0; full seeds 2, 10",
    ]


def test_what_a_cell_says_is_told_in_one_line_of_some_length() -> None:
    assert one_line("ValueError", "three\n  \x1b[31mlines\x1b[0m\n\n") == "ValueError: three [31mlines[0m"
    assert one_line("KeyboardInterrupt", "") == "KeyboardInterrupt"
    assert one_line("ValueError", "x" * 10_000) == f"ValueError: {'x' * 488}…"
