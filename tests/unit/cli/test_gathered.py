"""Numbers of several processes in one text: who doesn't answer, or isn't one of ours, is left out."""

import asyncio
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from cli.gathered import Gathered
from tests.numbers import sample
from tests.product import free_port


@contextmanager
def process(letters: float) -> Iterator[int]:
    """What a vertex' process tells; its port."""
    registry, port = CollectorRegistry(), free_port()
    Counter("blockline_dead_letters_total", "Dead letters.", ["vertex", "cause"], registry=registry).labels(
        "atlas-0", "NO_RUN"
    ).inc(letters)
    server, thread = start_http_server(port, "127.0.0.1", registry)
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Stranger(http.server.BaseHTTPRequestHandler):
    """Another program that has the port now."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>{{ welcome }}</html>")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def stranger() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_each_family_is_told_once_and_each_process_apart() -> None:
    with process(2) as one, process(3) as two, stranger() as other, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody listens
        ports = {"atlas-0": one, "atlas-1": two, "runner-pass": other, "timer": silent.getsockname()[1]}
        text = asyncio.run(Gathered(ports).render()).decode()
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    (letters,) = [family for family in families if family.name == "blockline_dead_letters"]
    told = {each.labels["process"]: each.value for each in letters.samples if "process" in each.labels}
    assert told == {"atlas-0": 2.0, "atlas-1": 3.0}
    assert [sample("blockline_process_answers", process=name) for name in ports] == [1, 1, 0, 0]
    (memory,) = [family for family in families if family.name == "process_resident_memory_bytes"]
    assert [each.labels for each in memory.samples] == [{}], "our own"
