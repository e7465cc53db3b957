"""`explore` in a real JupyterLab: the slider moves by keyboard, the figure changes, its number is right."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from labkit.source.files import PACKAGE

FIGURE = ".jp-OutputArea svg[role=img]"
CELL = """
from types import SimpleNamespace

from labkit.show.explore import explore

lab = SimpleNamespace(on_page=False, seed=0, chapter=SimpleNamespace(number="p00"))


def live(edge):
    return [{"edge": edge, "area": edge**2}]


def draw(figure, rows, value):
    figure.text(0.1, 0.5, f"area {rows[0]['area']:g} of edge {value:g}")


explore(
    lab, "R1", "edge", draw, live=live, controls={"edge": (0.0, 10.0, 0.5)},
    caption="A square.", alt="The area of a square with an edge of {value}",
)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A JupyterLab in a folder with one notebook; what its addresses begin with."""
    cell = nbformat.v4.new_code_cell(CELL)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "play.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]
    own = {
        name: str(tmp_path / name)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    # A question about news would lie above the slider.
    overrides = tmp_path / "JUPYTER_CONFIG_DIR" / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text('{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}')
    environment = os.environ | own | {"PYTHONPATH": str(PACKAGE.parent), "JUPYTER_PREFER_ENV_PATH": "1"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        _until(lambda: _answers(port), "the server answers")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def _until(condition, what: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.2)


@pytest.mark.slow
def test_slider_in_jupyterlab_computes_anew(driver: webdriver.Chrome, server: str) -> None:
    driver.set_window_size(1300, 1000)
    driver.get(f"{server}lab/tree/play.ipynb")
    ready = (
        "const shown = window.jupyterapp?.shell.currentWidget?.context;"
        "return shown?.isReady && shown.sessionContext.isReady"
        " && shown.sessionContext.session?.kernel?.status === 'idle'"
        " && window.jupyterapp.commands.isEnabled('notebook:run-all-cells')"
    )
    _until(lambda: driver.execute_script(ready), "the notebook is open and its kernel idle")

    def text() -> str:
        return str(driver.execute_script("return document.querySelector(arguments[0])?.textContent", FIGURE))

    driver.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    # ipywidgets begins in the middle of the range.
    _until(lambda: "area 25 of edge 5" in text(), "the first figure is drawn")
    # A click scrolls to the handle and gives it the focus, as a reader would.
    handle = driver.find_element(By.CSS_SELECTOR, ".jp-OutputArea .noUi-handle")
    ActionChains(driver).click(handle).send_keys(*3 * [Keys.ARROW_RIGHT]).perform()
    _until(lambda: "area 42.25 of edge 6.5" in text(), "the figure of edge 6.5 is drawn")
    assert driver.find_element(By.CSS_SELECTOR, ".widget-readout").text == "6.50"
    label = driver.find_element(By.CSS_SELECTOR, FIGURE).get_attribute("aria-label")
    assert label == "The area of a square with an edge of 6.5 (computed now)"
