"""Web services that tests and examples script."""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pipeline.core.errors import ErrorName
from pipeline.web.port import WebError, WebRequest


@dataclass(frozen=True, slots=True)
class MemoryAnswer:
    """See :class:`pipeline.web.port.WebAnswer`; names of ``headers`` are in lower case."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""

    async def read(self, bytes_max: int) -> bytes:
        """See :class:`pipeline.web.port.WebAnswer`."""
        if len(self.content) > bytes_max:
            raise WebError(ErrorName.ENGINE_TOO_LARGE, f"the answer is over {bytes_max} bytes")
        return self.content


class MemoryWebClient:
    """A service that does each thing once: a repeat under the same ``Idempotency-Key`` gets the answer it got.

    ``done`` holds the requests it did something for. Answers go out in their order, the last one again and again.
    """

    def __init__(self, answers: Iterable[MemoryAnswer] = (), *, is_away: bool = False) -> None:
        """``is_away``: nobody answers. Without answers it says 200 to everything."""
        self.done: list[WebRequest] = []
        self._is_away = is_away
        self._answers = deque(answers) or deque([MemoryAnswer()])
        self._given: dict[str, MemoryAnswer] = {}

    @asynccontextmanager
    async def send(self, request: WebRequest) -> AsyncIterator[MemoryAnswer]:
        """See :class:`pipeline.web.port.WebClient`."""
        if self._is_away:
            raise WebError(ErrorName.HTTP_CONNECTION, "the service can't be reached")
        key = request.headers.get("Idempotency-Key")
        if key is None or key not in self._given:
            self.done.append(request)
            answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
            self._given[key or ""] = answer
        yield self._given[key or ""]
