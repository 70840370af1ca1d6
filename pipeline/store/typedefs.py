"""The types that the engine needs in Atlas, and a small catalog for where there is none yet.

They are registered by plain REST, as any Atlas takes them. Real Atlas starts with no types at all, so what the engine's
own build on (Referenceable, Asset) is among them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import httpx

from pipeline.core.errors import BlocklineError
from pipeline.core.limits import ERROR_MESSAGE_CHARS_MAX
from pipeline.messages.canonical import MalformedError, decode, encode
from pipeline.store.kinds import Kind, kind_of

_LISTS: Final = ("enumDefs", "classificationDefs", "entityDefs")
_FOREIGN: Final = frozenset({"Referenceable", "Asset"})
"""Types that an Atlas may have already, in a form of its own: never changed, only checked."""
_FLAGS: Final = ("includeInNotification",)
"""What an attribute that is there must have as well; whether it is indexed is the other Atlas' affair."""
_PATH: Final = "/api/atlas/v2/types/typedefs"


class TypesDifferError(BlocklineError):
    """Atlas has a type of ours in a form that can't be made to fit."""


class TypesUnavailableError(BlocklineError):
    """Atlas doesn't answer as Atlas, or doesn't let this account register types."""


@dataclass(frozen=True, slots=True)
class Change:
    """What to register: ``POST`` of ``new``, ``PUT`` of ``changed``; both typedefs by category, empty where nothing."""

    new: Mapping[str, Any]
    changed: Mapping[str, Any]


def engine_typedefs() -> dict[str, Any]:
    """What the engine can't do without, as Atlas takes it; a fresh copy each time."""
    return _read("engine.json")


def catalog_typedefs() -> dict[str, Any]:
    """Tables, columns, terms and the like, for an Atlas that has none; they build on the engine's."""
    return _read("catalog.json")


@cache
def _shipped() -> dict[str, Mapping[str, Any]]:
    return {**_by_name(engine_typedefs()), **_by_name(catalog_typedefs())}


@cache
def shipped_kind(name: str) -> Kind | None:
    """A type as the project ships it."""
    body = _shipped().get(name)
    return kind_of(name, _shipped()) if body is not None and body.get("category") == "ENTITY" else None


def is_classification(name: str) -> bool:
    """Whether the project ships a classification of that name."""
    return _shipped().get(name, {}).get("category") == "CLASSIFICATION"


def missing_from(there: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Any], *, is_ours: bool = True) -> Change:
    """What to register so that ``wanted`` fits; ``there`` are the typedefs of the Atlas, by name.

    A type that isn't ours (``is_ours``) is left as it is where it exists.

    Raises:
        TypesDifferError: an attribute has another type there.
    """
    new: dict[str, list[Any]] = {}
    changed: dict[str, list[Any]] = {}
    for key in _LISTS:
        for body in wanted.get(key) or ():
            before = there.get(body["name"])
            if before is None:
                new.setdefault(key, []).append(body)
            elif is_ours and (merged := _merged(before, body)) is not None:
                changed.setdefault(key, []).append(merged)
    return Change(new, changed)


async def register(client: httpx.AsyncClient, *, with_catalog: bool = False) -> list[str]:
    """Register what is missing in the Atlas that ``client`` (with its address and login) talks to; may be called
    again. Names of the types that were created or extended.

    Raises:
        TypesDifferError: a type of ours is there in a form that doesn't fit.
        TypesUnavailableError: Atlas can't be reached, or refuses.
    """
    done = await ensure(client, engine_typedefs())
    return done + await ensure(client, catalog_typedefs(), is_ours=False) if with_catalog else done


async def ensure(client: httpx.AsyncClient, typedefs: Mapping[str, Any], *, is_ours: bool = True) -> list[str]:
    """As :func:`register`, with types of one's own: those of an older version get what they lack, and nothing is
    changed where one doesn't fit.
    """
    there = _by_name(await _ask(client, "GET", None))
    change = missing_from(there, typedefs, is_ours=is_ours)
    done: list[str] = []
    for method, body in (("POST", change.new), ("PUT", change.changed)):
        if body:
            await _ask(client, method, body)
            done += _by_name(body)
    return done


def _merged(before: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The type with what it lacks; None where it lacks nothing."""
    attributes = {each["name"]: each for each in before.get("attributeDefs") or ()}
    is_changed = False
    for wanted in body.get("attributeDefs") or ():
        has = attributes.get(wanted["name"])
        if has is not None and has.get("typeName") != wanted["typeName"]:
            raise TypesDifferError(
                f"Atlas has {body['name']}.{wanted['name']} as {has.get('typeName')}, the engine needs "
                f"{wanted['typeName']}."
            )
        if has is None:
            if body["name"] in _FOREIGN:
                raise TypesDifferError(f"Atlas' {body['name']} has no {wanted['name']}, which the engine needs.")
            attributes[wanted["name"]] = wanted
            is_changed = True
        elif body["name"] not in _FOREIGN and any(wanted[flag] and not has.get(flag) for flag in _FLAGS):
            attributes[wanted["name"]] = {**has, **{flag: wanted[flag] for flag in _FLAGS}}
            is_changed = True
    return {**before, "attributeDefs": list(attributes.values())} if is_changed else None


def _by_name(typedefs: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {body["name"]: body for key in _LISTS for body in typedefs.get(key) or ()}


async def _ask(client: httpx.AsyncClient, method: str, body: Any) -> dict[str, Any]:
    headers = {"content-type": "application/json", "accept": "application/json"}
    try:
        content = None if body is None else encode(body)
        response = await client.request(method, _PATH, content=content, headers=headers)
    except httpx.HTTPError as error:
        raise TypesUnavailableError(unreachable(error)) from error
    try:
        answer = decode(response.content)
    except MalformedError:
        answer = None
    if response.status_code != httpx.codes.OK or not isinstance(answer, dict):
        raise TypesUnavailableError(_refused(response, answer))
    return answer


def unreachable(error: httpx.HTTPError) -> str:
    """Why no answer came from Atlas' address, in a sentence that names neither the address nor the account."""
    reason = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return "Atlas' certificate doesn't verify: this machine doesn't trust who signed it, or it is another host's."
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "Nobody listens at Atlas' address: does it run, and is the address right?"
    if isinstance(error, httpx.TimeoutException):
        return "Atlas takes the connection and doesn't answer in time: its log may say why."
    return f"What is at Atlas' address doesn't answer as a web server does ({type(error).__name__})."


def _refused(response: httpx.Response, answer: Any) -> str:
    """What an answer that isn't typedefs means for whoever starts the engine."""
    status = response.status_code
    said = answer.get("errorMessage") if isinstance(answer, dict) else None
    reason = f" It says: {str(said)[:ERROR_MESSAGE_CHARS_MAX]}" if said else ""
    if status == httpx.codes.UNAUTHORIZED:
        return "Atlas refuses this user name and password."
    if status == httpx.codes.FORBIDDEN:
        return f"This account may not register types in Atlas: it must be an administrator's.{reason}"
    if "html" in response.headers.get("content-type", ""):
        return f"Atlas' address answers with a web page ({status}), not as Atlas does: is it Atlas' own?"
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return f"Atlas fails at the engine's types ({status}): its log says why, or it is still starting.{reason}"
    if status >= httpx.codes.BAD_REQUEST:
        return f"Atlas refuses the engine's types ({status}).{reason}"
    return f"What is at Atlas' address answers {status}, but not as Atlas does."


@cache
def _text(name: str) -> str:
    return files("pipeline.store").joinpath("typedefs").joinpath(name).read_text("utf-8")


def _read(name: str) -> dict[str, Any]:
    read: dict[str, Any] = decode(_text(name))
    return read
