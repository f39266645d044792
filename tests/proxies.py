"""A TCP proxy between a device and its broker that cuts a connection at a chosen point of the exchange."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_HEADER = struct.Struct("!BHH")  # of a TLS record: type, version, length


@dataclass
class Proxy:
    """Forwards to `upstream`, TLS record by TLS record. The record number `cut_at`, of all connections and of both directions
    counted from 1, is not forwarded: its connection is reset instead. That happens once."""

    upstream: tuple[str, int]
    cut_at: int | None = None
    records: int = 0
    connections: int = 0
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
            threading.Thread(target=self._serve, args=(server,), daemon=True).start()
            yield self

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                device, _ = server.accept()
                broker = socket.create_connection(self.upstream)
            except OSError:
                return
            self.connections += 1
            for source, sink in ((device, broker), (broker, device)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            with source.makefile("rb") as stream:
                while len(head := stream.read(_HEADER.size)) == _HEADER.size:
                    record = head + stream.read(_HEADER.unpack(head)[2])
                    with self._lock:
                        self.records += 1
                        cut = self.records == self.cut_at
                    if cut:
                        for end in (source, sink):  # without a linger the end is a reset, as when a network goes away
                            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        break
                    sink.sendall(record)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
