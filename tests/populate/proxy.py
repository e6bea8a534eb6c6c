"""A proxy on loopback between us and a server, which cuts the line at a chosen packet.

>>> with Proxy("127.0.0.1", 5432) as proxy:
...     proxy.cut(17, "request lost")
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

__all__ = ["WAYS", "Proxy"]

WAYS = ("request lost", "reply lost", "reply torn")
"""The server never gets the packet; it gets it, and what it answers is lost; half of an answer arrives."""


class Proxy:
    """A proxy, as a context.

    Attributes
    ----------
    port : int
        Where to connect to it.
    requests, replies : int
        Packets of all connections since `count`, in both directions.
    """

    def __init__(self, host: str, port: int) -> None:
        self.server = (host, port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._lock = threading.Lock()
        self._lines: set[socket.socket] = set()
        self.count()

    def __enter__(self) -> Self:
        threading.Thread(target=self._open, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()
        for line in list(self._lines):
            _end(line)

    def count(self) -> None:
        """Begin to count anew, and cut nothing."""
        with self._lock:
            self.requests = self.replies = 0
            self._at: tuple[int, str] | None = None
            self.has_cut = False

    def cut(self, number: int, way: str) -> None:
        """Cut the line at the packet of that number from now on."""
        self.count()
        with self._lock:
            self._at = (number, way)

    def _open(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
                server = socket.create_connection(self.server)
            except OSError:
                return
            for line in (client, server):
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._lines |= {client, server}
            for source, target, name in ((client, server, "requests"), (server, client, "replies")):
                threading.Thread(target=self._carry, args=(source, target, name), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):
            while packet := source.recv(65_536):
                way = self._fate(name)
                if way is None:
                    target.sendall(packet)
                    continue
                if way == "reply torn":
                    target.sendall(packet[: max(1, len(packet) // 2)])
                elif way == "reply lost":
                    _end(source)  # nobody hears of it any more
                    target.sendall(packet)
                break
        for line in (source, target):
            _end(line)
            self._lines.discard(line)

    def _fate(self, name: str) -> str | None:
        """Return how the line is to be cut at this packet, if it is."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)
            if self._at is None:
                return None
            number, way = self._at
            if name != ("replies" if way == "reply torn" else "requests") or getattr(self, name) != number:
                return None
            self._at, self.has_cut = None, True
            return way


def _end(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()
