"""A wire that can fail: a TCP proxy on loopback in front of a server, which may be down."""

import contextlib
import socket
import threading
import time
from typing import Self

from servers.process import LOOPBACK


class Proxy:
    """Passes bytes between its own ``port`` and a server's, until it is told to do so badly."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self._flowing = threading.Event()
        self._flowing.set()
        self._delay = 0.0
        self._swallowed = b""
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._flowing.set()
        # A close alone leaves accept() waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        """Reset all connections, and each new one at once."""
        with self._lock:
            self._is_cut = True
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Say nothing any more, in either direction, and leave all connections open: as when packets get lost."""
        self._flowing.clear()

    def slow(self, seconds: float) -> None:
        """Hold back each 64 KiB, or less when less has come, for so long."""
        self._delay = seconds

    def swallow(self, text: bytes) -> None:
        """Let nothing through that holds the text: whoever sent it waits in vain, all others are answered."""
        self._swallowed = text

    def mend(self) -> None:
        self._is_cut = False
        self._delay = 0.0
        self._swallowed = b""
        self._flowing.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            if self._is_cut:
                raise ConnectionResetError
            server = socket.create_connection((LOOPBACK, self._target))
        except OSError:
            client.close()
            return
        with self._lock:
            # Cut while we were connecting: nobody else will reset this one.
            if self._is_cut:
                client.close()
                server.close()
                return
            self._open |= {client, server}
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                if self._swallowed and self._swallowed in data:
                    continue
                if self._delay:
                    time.sleep(self._delay)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open -= {source}
        source.close()
