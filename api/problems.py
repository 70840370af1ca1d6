"""Errors as people and programs get them: RFC 9457, one stable URI a code, nothing of the inside."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from pipeline.core.errors import BlocklineError, Problem
from pipeline.messages.canonical import encode

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:blockline:problem:"
ERRORS_MAX: Final = 1000
"""Findings listed in one answer."""

TITLES: Final[Mapping[str, tuple[int, str]]] = {
    "malformed": (400, "The request can't be read"),
    "invalid": (400, "The request is invalid"),
    "unauthorized": (401, "Sign in first"),
    "forbidden": (403, "Not allowed"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "This can't be done here"),
    "archived": (410, "It was archived"),
    "conflict": (409, "Not in this state"),
    "precondition-failed": (412, "Somebody else changed it"),
    "too-large": (413, "Too large"),
    "unprocessable": (422, "This can't be accepted"),
    "precondition-required": (428, "Say what you have read"),
    "too-many-requests": (429, "Too many attempts"),
    "internal": (500, "Something went wrong"),
    "not-available": (501, "Not available in this version"),
    "unavailable": (503, "Try again soon"),
}


class ApiError(BlocklineError):
    """A request is refused; its text is the ``detail`` a person reads."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Iterable[Problem] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """``code`` is a key of :data:`TITLES`; ``extra`` are further members of the answer."""
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return TITLES[self.code][0]

    def body(self, instance: str) -> dict[str, Any]:
        """The members of the answer; ``instance`` is the path that was asked for."""
        status, title = TITLES[self.code]
        body: dict[str, Any] = {
            "type": TYPE_PREFIX + self.code,
            "title": title,
            "status": status,
            "detail": self.detail,
            "instance": instance,
            **self.extra,
        }
        if self.errors:
            body["errors"] = problems_json(self.errors)
        return body

    def response(self, instance: str) -> Response:
        """The answer."""
        return Response(
            encode(self.body(instance)), status_code=self.status, media_type=MEDIA_TYPE, headers=self.headers
        )


def problems_json(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """Findings as they stand under ``errors``, the first :data:`ERRORS_MAX` of them."""
    listed = list(problems)[:ERRORS_MAX]
    return [{"pointer": item.pointer, "code": item.code, "detail": item.detail} for item in listed]


def invalid(problems: Iterable[Problem]) -> ApiError:
    """400 with every finding; the sentence is the first one's, and how many more there are."""
    listed = tuple(problems)
    return ApiError("invalid", first_of(listed), errors=listed)


def first_of(problems: Sequence[Problem]) -> str:
    """The first finding as a whole sentence, and how many more there are."""
    first = problems[0].detail
    sentence = first if first.endswith((".", "?", "!")) else f"{first}."
    return f"{sentence} And {len(problems) - 1} more, see `errors`." if len(problems) > 1 else sentence


def not_found(what: str) -> ApiError:
    """404: it isn't there, or the caller may not know that it is."""
    return ApiError("not-found", f"There is no such {what}, or you may not see it.")
