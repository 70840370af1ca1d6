"""HTTP: calls a web service."""

import hashlib
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel, Field, JsonValue

from pipeline.blocks.contract import Arguments, Attempt, Failed, Output, Runner, Succeeded, failed, succeeded
from pipeline.core.errors import ErrorName
from pipeline.core.limits import HTTP_BODY_BYTES_MAX, HTTP_PROBLEM_BYTES_MAX
from pipeline.web.port import WebAnswer, WebClient, WebError, WebRequest
from udfs.runners.http.arguments import HttpArguments
from udfs.runners.http.reading import UnreadableError, is_problem, read_body, reason_of, retry_after_s, shown

KEY_HEADER: Final = "Idempotency-Key"
_KEY_CHARS_MAX: Final = 255
"""What services that know the header take."""
_DENIED: Final = frozenset({401, 403, 407})
_TOO_MANY: Final = 429
_BAD: Final = 400
_BROKEN: Final = 500


class HttpOutput(Output):
    """What the service answered; ``body`` is JSON, or its text."""

    status: int
    headers: dict[str, str] = Field(description="Those that say something about the answer, in lower case")
    body: JsonValue


class HttpRunner(Runner[HttpArguments, HttpOutput]):
    """Calls a web service. A repeat goes out under the same Idempotency-Key: a service that knows it acts once."""

    arguments_type: ClassVar[type[Arguments]] = HttpArguments
    output_type: ClassVar[type[BaseModel]] = HttpOutput

    def __init__(self, *, web: WebClient) -> None:
        """``web`` refuses what this installation may not call."""
        self._web = web

    async def run(self, arguments: HttpArguments, attempt: Attempt) -> Succeeded[HttpOutput] | Failed:
        """See :class:`pipeline.blocks.contract.Runner`."""
        try:
            async with self._web.send(_request(arguments, attempt)) as answer:
                if not _is_expected(answer.status, arguments.expected_statuses):
                    return await _refusal(answer, attempt)
                content = b"" if arguments.answer == "NONE" else await answer.read(HTTP_BODY_BYTES_MAX)
                body = read_body(content, answer.headers.get("content-type", ""), arguments.answer)
        except WebError as error:
            return failed(error.name, str(error))
        except UnreadableError as error:
            return failed(ErrorName.VALIDATION_OUTPUT, str(error))
        return succeeded(HttpOutput(status=answer.status, headers=shown(answer.headers), body=body))


def _request(arguments: HttpArguments, attempt: Attempt) -> WebRequest:
    content, content_type = _content(arguments)
    defaults = {"Accept": "application/json, text/*;q=0.9, */*;q=0.1", KEY_HEADER: _key(arguments, attempt)}
    if content_type:
        defaults["Content-Type"] = content_type
    if arguments.auth is not None:
        defaults["Authorization"] = arguments.auth.header
    given = {name.lower() for name in arguments.headers}
    headers = {name: value for name, value in defaults.items() if name.lower() not in given}
    return WebRequest(
        arguments.method,
        _url(arguments),
        {**headers, **arguments.headers},
        content,
        follows_redirects=arguments.follow_redirects,
        traceparent=attempt.traceparent,
    )


def _content(arguments: HttpArguments) -> tuple[bytes | None, str]:
    if arguments.text is not None:
        return arguments.text.encode(), "text/plain; charset=utf-8"
    if arguments.form is not None:
        return _encoded(arguments.form).encode(), "application/x-www-form-urlencoded"
    if arguments.body is not None:
        return orjson.dumps(arguments.body), "application/json"
    return None, ""


def _key(arguments: HttpArguments, attempt: Attempt) -> str:
    key = str(attempt.effect_key)
    if arguments.key_scope == "ATTEMPT":
        key = f"{key}/{attempt.attempt}"
    return key if len(key) <= _KEY_CHARS_MAX else hashlib.sha256(key.encode()).hexdigest()


def _url(arguments: HttpArguments) -> str:
    address, hash_sign, fragment = arguments.url.partition("#")
    query = _encoded(arguments.query)
    if query:
        address += ("&" if "?" in address else "?") + query
    return address + hash_sign + fragment


def _encoded(values: dict[str, Any]) -> str:
    """As a web page's form would be; lists give one pair an entry."""
    return urlencode(
        [
            (name, _plain(entry))
            for name, value in values.items()
            for entry in (value if isinstance(value, list) else [value])
            if entry is not None
        ]
    )


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _is_expected(status: int, expected: list[int | str]) -> bool:
    return any(str(each) in {str(status), f"{status // 100}xx"} for each in expected)


async def _refusal(answer: WebAnswer, attempt: Attempt) -> Failed:
    status = answer.status
    if status < _BAD:
        return failed(ErrorName.VALIDATION_OUTPUT, f"the service answered {status}, which isn't an expected status")
    sentence = f"the service answered {status}"
    reason = await _reason(answer)
    if reason:
        sentence += f": {reason}"
    if status in _DENIED:
        return failed(ErrorName.AUTH_DENIED, sentence)
    wait_s = retry_after_s(answer.headers, attempt.now_ms)
    if status == _TOO_MANY:
        return failed(ErrorName.HTTP_429, sentence, retry_after_s=wait_s)
    name = ErrorName.HTTP_5XX if status >= _BROKEN else ErrorName.HTTP_4XX
    return failed(name, sentence, retry_after_s=wait_s)


async def _reason(answer: WebAnswer) -> str:
    if not is_problem(answer.headers):
        return ""
    try:
        content = await answer.read(HTTP_PROBLEM_BYTES_MAX)
    except WebError:
        return ""  # the status says what matters
    return reason_of(content)
