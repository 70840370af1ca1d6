"""What pydantic found, said in sentences that name the field and never repeat its value (it may be a secret)."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.blocks.contract import MISFIT, NOT_AVAILABLE

Path = tuple[str | int, ...]

_TYPES: Final = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "none_required": "must be null",
    "string_too_short": "is too short",
}

_LENGTHS: Final = frozenset({"too_short", "too_long", "string_too_short", "string_too_long"})


class Finding(NamedTuple):
    """One thing wrong: where in the checked value, a stable code, one sentence."""

    path: Path
    code: str
    sentence: str

    @property
    def pointer(self) -> str:
        """The JSON Pointer (RFC 6901) of ``path``."""
        return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in self.path)


def findings(
    error: ValidationError, model: type[BaseModel], value: Any, is_unknown: Callable[[Any], bool] | None = None
) -> list[Finding]:
    """What ``error``, raised by ``model`` for ``value``, says; one finding a path and code, in the order found.

    ``is_unknown`` tells the strings whose value isn't known yet (templates). What is said of such a leaf, of
    something that holds one, or of a union with such a branch is left out, since the final value may be right;
    missing and unknown keys, and arguments that this version hasn't, are wrong whatever the leaves become.
    """
    located = [(_locate(detail, value), detail) for detail in error.errors(include_url=False, include_input=False)]
    if is_unknown is not None:
        unknown = _unknown_leaves(value, is_unknown, ())
        uncertain = {
            place.union
            for place, detail in located
            if place.union is not None and not _is_certain(detail) and _touches(place.path, unknown)
        }
        located = [
            (place, detail)
            for place, detail in located
            if place.union not in uncertain and (_is_certain(detail) or not _touches(place.path, unknown))
        ]
    # Where one branch of a union fits as far as its parts, that another branch doesn't fit at all says nothing.
    deep = {place.union for place, _ in located if place.union is not None and len(place.path) > len(place.union)}
    located = [(place, detail) for place, detail in located if place.union not in deep or place.path != place.union]
    found: dict[tuple[Path, str], Finding] = {}
    for path, details in _by_path(located).items():
        finding = _finding(path, details, model)
        found.setdefault((finding.path, finding.code), finding)
    return list(found.values())


class _Place(NamedTuple):
    path: Path
    union: Path | None
    """Where the first union on the way stands, if there is one."""


def _locate(detail: ErrorDetails, value: Any) -> _Place:
    """The path in the value itself: pydantic's location also names the branches of unions it tried."""
    path: list[str | int] = []
    union: Path | None = None
    here = value
    for index, part in enumerate(detail["loc"]):
        is_missing = detail["type"] == "missing" and index == len(detail["loc"]) - 1
        if is_missing or (isinstance(here, Mapping) and part in here):
            path.append(part)
            here = here.get(part) if isinstance(here, Mapping) else None
        elif isinstance(here, Sequence) and not isinstance(here, str) and isinstance(part, int) and part < len(here):
            path.append(part)
            here = here[part]
        elif union is None:
            union = tuple(path)
    return _Place(tuple(path), union)


def _is_certain(detail: ErrorDetails) -> bool:
    return detail["type"] in {"missing", "extra_forbidden", NOT_AVAILABLE, MISFIT}


def _unknown_leaves(value: Any, is_unknown: Callable[[Any], bool], path: Path) -> list[Path]:
    if isinstance(value, str):
        return [path] if is_unknown(value) else []
    if isinstance(value, Mapping):
        return [leaf for key, item in value.items() for leaf in _unknown_leaves(item, is_unknown, (*path, key))]
    if isinstance(value, (list, tuple)):
        return [leaf for index, item in enumerate(value) for leaf in _unknown_leaves(item, is_unknown, (*path, index))]
    return []


def _touches(path: Path, unknown: Sequence[Path]) -> bool:
    return any(leaf[: len(path)] == path or path[: len(leaf)] == leaf for leaf in unknown)


def _by_path(located: Sequence[tuple[_Place, ErrorDetails]]) -> dict[Path, list[ErrorDetails]]:
    by_path: dict[Path, list[ErrorDetails]] = {}
    for place, detail in located:
        by_path.setdefault(place.path, []).append(detail)
    return by_path


def _finding(path: Path, details: Sequence[ErrorDetails], model: type[BaseModel]) -> Finding:
    name = ".".join(str(part) for part in path) or "the value"
    kind = details[0]["type"]
    if kind == "missing":
        return Finding(path, "Missing", f"{name} is missing")
    if kind == "extra_forbidden":
        return Finding(path, "UnknownKey", f"{name} isn't known here{_nearest(path, model)}")
    if kind == MISFIT:
        return Finding(path, "Invalid", str(details[0]["ctx"]["sentence"]))
    if kind == "value_error":  # a block's own sentence
        return Finding(path, "Invalid", f"{name}: {details[0]['ctx']['error']}")
    # The branch of a union that only has the wrong length was meant; the others say nothing.
    details = [detail for detail in details if detail["type"] in _LENGTHS] or details
    texts = list(dict.fromkeys(_text(detail) for detail in details))
    return Finding(path, "NotAvailable" if kind == NOT_AVAILABLE else "Invalid", f"{name} {', or '.join(texts)}")


def _text(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in {"literal_error", "enum"}:
        return f"must be {context['expected']}"
    if kind == "too_short":
        return f"needs at least {context['min_length']} entries" if context["min_length"] != 1 else "must not be empty"
    if kind == "too_long":
        return f"has more than {context['max_length']} entries"
    return detail["msg"].replace("Input should", "should").replace("String should", "should")


def _nearest(path: Path, model: type[BaseModel]) -> str:
    """A known key near a mistyped one, where the model at that place is certain (the root, or a plain field)."""
    here: Any = model
    for part in path[:-1]:
        fields = here.model_fields if isinstance(here, type) and issubclass(here, BaseModel) else {}
        here = next((field.annotation for name, field in fields.items() if part in {name, field.alias}), None)
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return ""
    names = list(here.model_json_schema().get("properties", {}))
    near = difflib.get_close_matches(str(path[-1]), names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; it takes {', '.join(names)}"
