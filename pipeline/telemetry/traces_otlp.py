"""Spans over OTLP, as protobuf over HTTP, by OpenTelemetry's own exporter."""

import logging
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final

import requests
import requests.adapters
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from pipeline.core.limits import TRACE_TIMEOUT_S
from pipeline.telemetry.traces import Span
from pipeline.telemetry.traces_ids import SpanRef

_NS_A_MS: Final = 1_000_000
_SCOPE: Final = InstrumentationScope("blockline")
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_LOUD: Final = "opentelemetry.exporter"
"""It logs each failure with what the collector said, which may repeat what it was sent; we say how many failed."""


class _Trusting(requests.adapters.HTTPAdapter):
    """Trusts more authorities than the public ones, which requests adds itself."""

    def __init__(self, trusted: ssl.SSLContext) -> None:
        self._trusted = trusted
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As the library's own, with our context."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._trusted)


class OtlpSender:
    """See :class:`pipeline.telemetry.traces_queue.Sender`."""

    def __init__(self, url: str, headers: Mapping[str, str], *, trusted: ssl.SSLContext, service: str) -> None:
        """``url`` with its path, ``service`` the name that spans stand under."""
        logging.getLogger(_LOUD).setLevel(logging.CRITICAL)
        session = requests.Session()
        session.max_redirects = 0  # whoever redirects would get the headers that authenticate us
        session.mount("https://", _Trusting(trusted))
        self._exporter = OTLPSpanExporter(
            endpoint=url,
            headers=dict(headers),
            timeout=TRACE_TIMEOUT_S,
            compression=Compression.Gzip,
            session=session,
        )
        self._resource = Resource({"service.name": service, "service.namespace": "blockline"})

    def send(self, spans: Sequence[Span]) -> bool:
        """See the port."""
        return self._exporter.export([self._readable(span) for span in spans]) is SpanExportResult.SUCCESS

    def give_up(self) -> None:
        """See the port."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=_context(span.ref),
            parent=None if span.parent is None else _context(span.parent),
            resource=self._resource,
            attributes=span.attributes,
            links=[Link(_context(link)) for link in span.links],
            kind=SpanKind[span.kind],
            status=Status(StatusCode.ERROR if span.is_error else StatusCode.UNSET),
            start_time=span.started_at * _NS_A_MS,
            end_time=span.ended_at * _NS_A_MS,
            instrumentation_scope=_SCOPE,
        )


def _context(ref: SpanRef) -> SpanContext:
    return SpanContext(ref.trace_id, ref.span_id, is_remote=False, trace_flags=_SAMPLED)
