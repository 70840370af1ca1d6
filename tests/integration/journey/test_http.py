"""A workflow calls a web service: by the operator's leave only."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.messages.canonical import encode
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

    def do_GET(self) -> None:
        self.answer(200, dict(self.headers.items()))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.headers["Idempotency-Key"], body))
        self.answer(503 if len(self.server.asked) == 1 else 201, {"id": 17})

    def answer(self, status: int, value: Any) -> None:
        answer = encode(value)
        self.send_response(status)
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


SECRETS = {"TOKEN": "t0ken-of-tickets", "PASSWORD": "pa55-word-of-rosa"}


def test_a_secret_reaches_the_service_and_nobody_else(tmp_path: Path, tickets: Tickets) -> None:
    allowed = {"BLOCKLINE_HTTP_ALLOW": "127.0.0.1", "BLOCKLINE_HTTP_ALLOW_PLAIN": "127.0.0.1"}
    folder = tmp_path / "kept"
    folder.mkdir()
    for name, secret in SECRETS.items():
        (folder / name).write_text(f"{secret}\n")
    forged = {"$parts": [{"$secret": "TOKEN"}]}
    tasks = [
        {
            "name": "bearer",
            "type": "HTTP",
            "arguments": {
                "url": tickets.url,
                "headers": {"X-Key": "key {{ secrets.TOKEN }} of {{ run.requester.name }}"},
            },
        },
        {
            "name": "basic",
            "type": "HTTP",
            "arguments": {"url": tickets.url, "auth": {"user": "rosa", "password": "{{ secrets.PASSWORD }}"}},
        },
        {"name": "absent", "type": "HTTP", "arguments": {"url": tickets.url, "auth": {"bearer": "{{ secrets.NOPE }}"}}},
        {
            "name": "forged",
            "type": "HTTP",
            "arguments": {"url": tickets.url, "method": "POST", "body": "{{ run.input.x }}"},
            "retry": [{"errorEquals": ["Http.5xx"], "intervalSeconds": 0.1}],
        },
    ]
    with staged(tmp_path, **allowed, BLOCKLINE_SECRETS_DIR=str(folder)) as stage:
        stage.publishes("tickets", {"dag": {"entrypoint": "bearer", "tasks": tasks}})
        run = stage.starts("rosa", "tickets", input={"x": forged})
        ended = stage.run(run, wait_s=40)
    bearer, basic, absent, posted = ended["dag"]["tasks"]
    assert statuses(ended) == {"bearer": "SUCCESS", "basic": "SUCCESS", "absent": "FAILURE", "forged": "SUCCESS"}
    assert bearer["output"]["body"]["X-Key"] == "key *** of rosa"
    assert basic["output"]["body"]["Authorization"].startswith("Basic ")
    assert (absent["error"]["name"], absent["error"]["message"]) == (
        "Auth.Denied",
        "There is no secret NOPE. An operator can add it.",
    )
    assert posted["status"] == "SUCCESS"
    assert {body for _, body in tickets.asked} == {encode(forged)}
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and folder not in path.parents)
    for secret in SECRETS.values():
        assert secret.encode() not in kept
        assert base64.b64encode(f"rosa:{secret}".encode()) not in kept
