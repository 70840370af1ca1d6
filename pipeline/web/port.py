"""The port to web services whose address somebody else chose."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.core.errors import BlocklineError, ErrorName


class WebError(BlocklineError):
    """A call that brought no answer that could be used; ``name`` is what its task fails with.

    The text is a sentence that names the host as the author wrote it, never the address behind it.
    """

    def __init__(self, name: ErrorName, text: str) -> None:
        """``text`` is one sentence without secrets."""
        super().__init__(text)
        self.name = name


@dataclass(frozen=True, slots=True)
class WebRequest:
    """One call. ``headers`` go out as they are; ``content`` is the body. ``traceparent`` goes along to hosts that may
    have it, unless the headers have one.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    follows_redirects: bool = True
    traceparent: str | None = None


class WebAnswer(Protocol):
    """The status line and the headers of an answer, whose body is still to be read."""

    @property
    def status(self) -> int:
        """100 to 599."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By their names in lower case; several of one name are joined by commas."""
        ...

    async def read(self, bytes_max: int) -> bytes:
        """The body, unpacked; may be called once.

        Raises:
            WebError: ``Engine.TooLarge``, as soon as it is over ``bytes_max`` packed or unpacked; ``Http.Connection``,
                it broke off or can't be unpacked.
        """
        ...


class WebClient(Protocol):
    """Makes calls; every call is a new connection, and remembers nothing of those before. May be used concurrently."""

    def send(self, request: WebRequest) -> AbstractAsyncContextManager[WebAnswer]:
        """The answer, after redirects; the connection is closed with the context. Has no time-out of its own but that
        of connecting: cancel it.

        Raises:
            WebError: on entering: ``Validation.Input`` (it can't be sent so), ``Auth.Denied`` (this installation may
                not call that address), ``Http.Connection`` (no answer).
        """
        ...
