"""Spans on their way to the collector: a bounded queue and a thread that nothing waits for."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from pipeline.core.clock import Clock
from pipeline.core.limits import (
    TRACE_SEND_S,
    TRACE_SPANS_QUEUED_MAX,
    TRACE_SPANS_SENT_MAX,
    TRACE_STOP_S,
    TRACE_TELL_S,
)
from pipeline.telemetry.counting import SPANS
from pipeline.telemetry.traces import Span

_LOG: Final = logging.getLogger("blockline.traces")


class Sender(Protocol):
    """Takes spans to the collector; used by one thread."""

    def send(self, spans: Sequence[Span]) -> bool:
        """Whether it took them; may take as long as its time-out."""
        ...

    def give_up(self) -> None:
        """Whatever is under way may end now; from another thread."""
        ...


class SpanQueue:
    """See :class:`pipeline.telemetry.traces.SpanTaker`. Start it once."""

    def __init__(
        self, open_sender: Callable[[], Sender], clock: Clock, *, spans_max: int = TRACE_SPANS_QUEUED_MAX
    ) -> None:
        """``open_sender`` is called in the thread: what it imports delays nobody's start."""
        self._open_sender = open_sender
        self._clock = clock
        self._spans_max = spans_max
        self._waiting: deque[Span] = deque()
        self._lock = threading.Lock()
        self._is_due = threading.Event()
        self._is_stopping = False
        self._sender: Sender | None = None
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._dropped = 0
        self._failed = 0
        self._told_s = float("-inf")

    @property
    def dropped(self) -> int:
        """Spans that found no room, since the log last told of them."""
        return self._dropped

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def take(self, span: Span) -> None:
        """See the port."""
        with self._lock:
            has_room = len(self._waiting) < self._spans_max and not self._is_stopping
            if has_room:
                self._waiting.append(span)
            else:
                self._dropped += 1
            is_full = len(self._waiting) >= TRACE_SPANS_SENT_MAX
        if not has_room:
            SPANS.labels("dropped").inc()
        if is_full:
            self._is_due.set()

    def stop(self, timeout_s: float = TRACE_STOP_S) -> None:
        """Send what waits for at most ``timeout_s`` seconds, and end; may be called twice."""
        with self._lock:
            self._is_stopping = True
        self._is_due.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            if self._sender is not None:
                self._sender.give_up()
            _LOG.warning("%d spans didn't get to the collector before the stop", len(self._waiting))

    def _run(self) -> None:
        try:
            sender = self._sender = self._open_sender()
            while not self._is_stopping:
                self._is_due.wait(TRACE_SEND_S)
                self._is_due.clear()
                self._send_all(sender)
            self._send_all(sender)
        except Exception:  # noqa: BLE001  (a thread has nobody above it who would say so)
            _LOG.exception("no more spans are sent")
        finally:
            with self._lock:
                self._is_stopping = True
        self._tell(is_last=True)

    def _send_all(self, sender: Sender) -> None:
        while batch := self._batch():
            if sender.send(batch):
                SPANS.labels("sent").inc(len(batch))
            else:
                SPANS.labels("failed").inc(len(batch))
                self._failed += len(batch)
            self._tell()
        self._tell()

    def _batch(self) -> list[Span]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), TRACE_SPANS_SENT_MAX))]

    def _tell(self, *, is_last: bool = False) -> None:
        now_s = self._clock.monotonic_s()
        if not (self._dropped or self._failed) or (now_s - self._told_s < TRACE_TELL_S and not is_last):
            return
        self._told_s = now_s
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        failed, self._failed = self._failed, 0
        _LOG.warning(
            "spans were lost, and nothing else was: %d not taken by the collector, %d dropped since too many waited",
            failed,
            dropped,
        )
