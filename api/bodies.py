"""JSON from outside: capped, depth-checked, and refused with a pointer and a sentence."""

import asyncio
import contextlib
import difflib
from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from api.problems import ApiError, first_of, invalid
from pipeline.core.errors import Problem
from pipeline.core.limits import JSON_DEPTH_MAX
from pipeline.messages.canonical import MalformedError, decode
from pipeline.spec.json_text import faults

BODY_BYTES_MAX: Final = 2 * 1024 * 1024
"""Far above the largest spec, so that an oversized spec is refused with a sentence about specs."""
PASSED_OVER_BYTES_MAX: Final = 16 * 1024 * 1024
PASSED_OVER_S: Final = 5.0
"""So much, and for so long, of a body that is too large is read and forgotten before it is refused."""
SCANNED_AT_ONCE_BYTES: Final = 64 * 1024
"""A longer text is looked through in a thread: it takes more than a few milliseconds."""

B = TypeVar("B", bound=BaseModel)


class Body(BaseModel):
    """Base of what clients send: unknown members are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


async def read_json(request: Request) -> Any:
    """The request's JSON value; an empty body is an empty object.

    Raises:
        ApiError: too large (413), not JSON, too deep, or with a key given twice (400).
    """
    raw = await _read(request)
    if not raw.strip():
        return {}
    try:
        value = decode(raw)
    except MalformedError as error:
        raise not_json(str(error)) from None
    if is_too_deep(value):
        detail = f"The request is nested deeper than {JSON_DEPTH_MAX} levels."
        raise ApiError("malformed", detail, errors=[Problem("", "Json.TooDeep", detail)])
    found = faults(raw) if len(raw) < SCANNED_AT_ONCE_BYTES else await asyncio.to_thread(faults, raw)
    if found:
        raise ApiError("malformed", first_of(found), errors=found)
    return value


def not_json(why: str) -> ApiError:
    """400 for a body that no parser can read."""
    detail = f"The body of the request isn't JSON: {why.removeprefix('not JSON: ')}."
    return ApiError("malformed", detail, errors=[Problem("", "Json.Malformed", detail)])


def parse(model: type[B], value: Any) -> B:
    """The value as ``model``.

    Raises:
        ApiError: 400 with a pointer for each member that is wrong.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(_problems(model, error)) from None


def is_too_deep(value: Any) -> bool:
    """Whether arrays and objects are nested deeper than JSON_DEPTH_MAX."""
    level = [value]
    for _ in range(JSON_DEPTH_MAX):
        level = [inner for outer in level for inner in _members(outer)]
        if not level:
            return False
    return True


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > BODY_BYTES_MAX:
        await _let_pass(request)
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            await _let_pass(request)
        chunks.append(chunk)
    return b"".join(chunks)


async def _let_pass(request: Request) -> NoReturn:
    """Refuse it once it has come: who still sends when the connection closes never reads why.

    Raises:
        ApiError: always, 413; sooner where more comes than anybody sends by mistake, or too slowly.
    """
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PASSED_OVER_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > PASSED_OVER_BYTES_MAX:
                    break
    raise _too_large()


def _too_large() -> ApiError:
    return ApiError("too-large", f"A request may have {BODY_BYTES_MAX} bytes at most.", headers={"Connection": "close"})


def _problems(model: type[BaseModel], error: ValidationError) -> list[Problem]:
    return [
        _problem(model, item) for item in error.errors(include_url=False, include_input=False, include_context=True)
    ]


def _problem(model: type[BaseModel], item: Mapping[str, Any]) -> Problem:
    location = [str(part) for part in item["loc"]]
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in location)
    name = location[-1] if location else "the request"
    match item["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(name, model.model_fields, n=1) if len(location) == 1 else []
            hint = f" Did you mean `{near[0]}`?" if near else ""
            return Problem(pointer, "Request.UnknownKey", f"`{name}` isn't known here.{hint}")
        case "missing":
            return Problem(pointer, "Request.Missing", f"`{name}` is missing.")
        case _:
            return Problem(pointer, "Request.Invalid", f"`{name}`: {_lowered(item['msg'])}.")


def _lowered(text: str) -> str:
    text = text.removeprefix("Value error, ").rstrip(".")
    return text[:1].lower() + text[1:]
