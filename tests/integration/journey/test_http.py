"""A workflow calls a web service: by the operator's leave only."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.integration.journey.actors import staged, statuses

pytestmark = pytest.mark.timeout(180)


class Tickets(ThreadingHTTPServer):
    """A service that fails once and then opens a ticket; ``asked`` are the keys and bodies it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TicketHandler)
        self.asked: list[tuple[str | None, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/tickets"


class TicketHandler(BaseHTTPRequestHandler):
    server: Tickets

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.headers["Idempotency-Key"], body))
        answer = b'{"id": 17}'
        self.send_response(503 if len(self.server.asked) == 1 else 201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name it is called by)
        """Quiet."""


@pytest.fixture
def tickets() -> Iterator[Tickets]:
    with Tickets() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_service_is_called_where_the_operator_allows_it(tmp_path: Path, tickets: Tickets) -> None:
    allowed = {"BLOCKLINE_HTTP_ALLOW": "127.0.0.1", "BLOCKLINE_HTTP_ALLOW_PLAIN": "127.0.0.1"}
    call = {"method": "POST", "url": tickets.url, "body": {"for": "{{ run.requester.name }}"}}
    retry = [{"errorEquals": ["Http.5xx"], "intervalSeconds": 0.1}]
    tasks = [
        {"name": "open", "type": "HTTP", "arguments": call, "retry": retry},
        {
            "name": "say",
            "type": "PASS",
            "depends": "open",
            "arguments": {"output": '{{ tasks["open"].output.body.id }}'},
        },
        {"name": "inside", "type": "HTTP", "arguments": {"url": "http://169.254.169.254/latest"}},
    ]
    with staged(tmp_path, **allowed) as stage:
        stage.publishes("tickets", {"dag": {"entrypoint": "open", "tasks": tasks}})
        run = stage.starts("rosa", "tickets")
        ended = stage.run(run, wait_s=40)
    assert statuses(ended) == {"open": "SUCCESS", "say": "SUCCESS", "inside": "FAILURE"}
    opened, said, inside = ended["dag"]["tasks"]
    assert (opened["attempt"], opened["output"]["status"], said["output"]) == (2, 201, 17)
    assert inside["error"]["name"] == "Auth.Denied"
    keys = {key for key, _ in tickets.asked}
    assert len(tickets.asked) == 2
    assert len(keys) == 1, "both attempts have one effect"
    assert tickets.asked[1][1] == b'{"for":"rosa"}'
