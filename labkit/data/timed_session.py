"""A web session that ends when its time is up, whatever it is waiting for."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from requests import Response, Session
from requests.adapters import HTTPAdapter


class TimedSession(Session):
    """A session whose connections are cut `seconds` after its start, unless `allow` puts that off.

    A timeout of requests counts from one byte to the next, so that a server which sends its headers byte by
    byte is never late; here the time runs. `late` tells that it has run out: what was being received then
    looks like a connection that was lost. The body of a redirect is not read. Finding the address of a server
    and connecting to it are not cut; the timeout of a request limits each attempt to connect.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.late = False
        self._sockets: list[socket.socket] = []
        self._closed = threading.Event()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Telling(self._sockets.append))
        self.hooks["response"].append(_drop_page_of_redirect)
        self.allow(seconds)
        threading.Thread(target=self._watch, daemon=True).start()

    def allow(self, seconds: float) -> None:
        """Let the connections be for `seconds` from now on."""
        if not self.late:
            self.seconds, self._deadline = seconds, time.monotonic() + seconds

    def close(self) -> None:
        """Close all connections; the time stops."""
        self._closed.set()
        super().close()
        for known in self._sockets:
            known.close()

    def _watch(self) -> None:
        while not self._closed.wait(max(0.05, self._deadline - time.monotonic())):
            if time.monotonic() >= self._deadline:
                self.late = True
                for known in list(self._sockets):
                    with contextlib.suppress(OSError):  # closed already
                        known.shutdown(socket.SHUT_RDWR)


def _drop_page_of_redirect(response: Response, **_: Any) -> None:
    if response.is_redirect:
        response.close()


class _Telling(HTTPAdapter):
    """Tells of every socket it connects, through a proxy or not, by a copy that outlives TLS and `close`."""

    def __init__(self, tell: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self.tell = tell

    def get_connection_with_tls_context(self, *request: Any, **how: Any) -> Any:
        """Return the pool of connections that fits the request, made to tell."""
        pool: Any = super().get_connection_with_tls_context(*request, **how)
        tell = self.tell

        class Telling(pool.ConnectionCls):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                connected: socket.socket = super()._new_conn()
                tell(connected.dup())
                return connected

        pool.ConnectionCls = Telling
        return pool
