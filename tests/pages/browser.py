"""A headless Chromium that tells what a page asked for and what went wrong on it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

# No address but this machine's own is found, and Chromium asks for nothing on its own account.
FLAGS = """
--headless
--no-sandbox
--disable-gpu
--disable-quic
--disable-dev-shm-usage
--disable-background-networking
--disable-background-timer-throttling
--disable-backgrounding-occluded-windows
--disable-renderer-backgrounding
--disable-component-update
--disable-sync
--no-first-run
--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1
""".strip()
DESKTOP, PHONE = (1280, 900), (390, 844)

# What a reader can unfold is unfolded: notes, hidden cells, the panels behind all tabs.
UNFOLD = """
document.querySelectorAll('details').forEach(fold => fold.open = true);
document.querySelectorAll('.lk-tabs > div').forEach(panel => panel.style.display = 'block');
"""

REMEMBER = "for (const key of ['mode', 'theme']) localStorage.setItem(key, '{theme}')"

SETTLE = """
window.settled = false;
document.fonts.ready.then(() => requestAnimationFrame(() => requestAnimationFrame(
    () => setTimeout(() => window.settled = true, 0))));
"""


class Browser:
    """Chromium at the site whose addresses begin with `base`."""

    def __init__(self, driver: webdriver.Chrome, base: str) -> None:
        self.driver, self.base = driver, base
        driver.execute_cdp_cmd("Network.enable", {})

    def open(
        self, page: str, size: tuple[int, int] = DESKTOP, *, theme: str = "", unfold: bool = False
    ) -> None:
        """Load `page`, a path below `base`, and wait until it is quiet.

        `size` is that of the window in pixels. `theme` is `light` or `dark`, chosen as the page's own button
        remembers it; by default it is the one chosen before. `unfold` shows whatever the page can show.
        """
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        if theme:
            # Before any script of the page: one that runs late would write its own choice over this one.
            remember = {"source": REMEMBER.format(theme=theme)}
            script = self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", remember)
        self.driver.get(self.base + page)
        if theme:
            self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
        if unfold:
            self.unfold()
        else:
            self.settle()

    def unfold(self) -> None:
        """Show whatever the page can show."""
        self.ask(UNFOLD)
        self.settle()

    def settle(self) -> None:
        """Wait until fonts are there and what scripts have changed is drawn, ten seconds at most.

        On a busy machine headless Chromium now and then draws no frame, or lets no timer of the page go off,
        until it is asked for something else. So this process keeps the time, and asks.
        """
        self.ask(SETTLE)
        end = time.monotonic() + 10
        while not self.ask("return window.settled") and time.monotonic() < end:
            time.sleep(0.01)

    def ask(self, script: str, *arguments: Any) -> Any:
        """Return what `script`, the body of a JavaScript function, returns on the page that is open."""
        return self.driver.execute_script(script, *arguments)

    def press(self, keys: str) -> None:
        """Press keys, one after the other, on what has the focus."""
        webdriver.ActionChains(self.driver).send_keys(keys).perform()
        self.settle()

    def faults(self) -> list[str]:
        """Return a line for each request that left the site or failed and each error in the console.

        Counts from the last time this was called.
        """
        found, asked = [], {}
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            event, name = message["params"], message["method"]
            if name == "Network.requestWillBeSent":
                asked[event["requestId"]] = url = event["request"]["url"]
                if not url.startswith((self.base, "data:", "blob:")):
                    found.append(f"asks for {url}")
            elif name == "Network.responseReceived" and event["response"]["status"] >= 400:
                found.append(f"{event['response']['url']}: status {event['response']['status']}")
            elif name == "Network.loadingFailed":
                found.append(f"{asked.get(event['requestId'], 'a request')}: {event['errorText']}")
        errors = [entry for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        return found + [f"console: {entry['message']}" for entry in errors]


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Start a Chromium that finds no network, and end it."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in FLAGS.splitlines():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options, Service(str(shutil.which("chromedriver"))))
    driver.set_page_load_timeout(60)
    driver.set_script_timeout(300)
    try:
        yield driver
    finally:
        driver.quit()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the browser sees what failed."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve `folder` on this machine; yield what its addresses begin with."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
