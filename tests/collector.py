"""An OpenTelemetry collector: takes traces over HTTP, decodes the protobufs and keeps the spans."""

import gzip
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_JOIN_S: Final = 10


@dataclass(frozen=True)
class Got:
    """A span as it arrived; ids in hex, times in ms. ``links`` are pairs of trace and span."""

    trace: str
    id: str
    parent: str
    name: str
    started_at: int
    ended_at: int
    attributes: Mapping[str, Any]
    links: tuple[tuple[str, str], ...]
    is_error: bool
    service: str


class Collector:
    """Listens on a free port of 127.0.0.1. ``answer`` is the status of each request, None keeps them waiting."""

    def __init__(self, *, answer: int | None = 200) -> None:
        self.answer = answer
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[bytes] = []
        self.requests = 0
        self._spans: list[Got] = []
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spans(self, trace: str | None = None) -> list[Got]:
        """Those that came so far, of one trace or all."""
        return [span for span in list(self._spans) if trace in {None, span.trace}]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_JOIN_S)

    def _take(self, headers: Mapping[str, str], body: bytes) -> None:
        self.headers.append(headers)
        content = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        self.bodies.append(content)
        request = ExportTraceServiceRequest.FromString(content)
        for resource in request.resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self._spans += [_got(span, service) for span in scope.spans]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.requests += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if collector.answer is None:
                    collector._closing.wait()
                    return
                if collector.answer == 200 and self.path == "/v1/traces":
                    collector._take(dict(self.headers), body)
                self.send_response(collector.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler


def _got(span: Any, service: str) -> Got:
    return Got(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        started_at=span.start_time_unix_nano // 1_000_000,
        ended_at=span.end_time_unix_nano // 1_000_000,
        attributes=_attributes(span.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        is_error=span.status.code == 2,
        service=service,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
