"""The language of ``depends``: tokens, parser with positions, printer.

``parse`` after ``render`` is the identity. What a node means is in :mod:`pipeline.spec.truth`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from pipeline.core.errors import BlocklineError
from pipeline.core.limits import DEPENDS_BYTES_MAX, DEPENDS_DEPTH_MAX, DEPENDS_OPERANDS_MAX

PARSED_KEPT_MAX: Final = 2048
"""Parsed texts kept in memory: documents are read again and again with the same few."""


class DependsError(BlocklineError):
    """A ``depends`` that can't be read; ``position`` is the offset of the offending character, from 0."""

    def __init__(self, detail: str, position: int) -> None:
        """``detail`` is a clause without its full stop; the position is said after it, counted from 1."""
        super().__init__(f"{detail} (character {position + 1}).")
        self.position = position


class DependsResult(StrEnum):
    """What may stand after the dot."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    TIMED_OUT = "TIMED_OUT"
    EXPIRED = "EXPIRED"
    SKIPPED = "SKIPPED"
    OMITTED = "OMITTED"
    CANCELLED = "CANCELLED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    FAILED_ANY = "FAILED_ANY"
    COMPLETED = "COMPLETED"
    DONE = "DONE"
    ANY_SUCCESS = "ANY_SUCCESS"
    ALL_SUCCESS = "ALL_SUCCESS"
    ALL_FAILURE = "ALL_FAILURE"


HUMAN_RESULTS: Final = frozenset({DependsResult.APPROVED, DependsResult.REJECTED})
LIST_RESULTS: Final = frozenset({DependsResult.ANY_SUCCESS, DependsResult.ALL_SUCCESS, DependsResult.ALL_FAILURE})

_ARGO: Final = {
    "Succeeded": DependsResult.SUCCESS,
    "Failed": DependsResult.FAILURE,
    "Errored": DependsResult.FAILURE,
    "Skipped": DependsResult.SKIPPED,
    "Omitted": DependsResult.OMITTED,
    "AnySucceeded": DependsResult.ANY_SUCCESS,
    "AllFailed": DependsResult.ALL_FAILURE,
}
_DAEMONED: Final = "Daemoned"


@dataclass(frozen=True, slots=True)
class Operand:
    """A task, with the result or (of a SWITCH) the case that is asked of it; neither: SUCCESS or SKIPPED."""

    task: str
    result: DependsResult | None = None
    case: str | None = None


@dataclass(frozen=True, slots=True)
class Not:
    """True when ``node`` is false."""

    node: "Node"


@dataclass(frozen=True, slots=True)
class And:
    """Two nodes or more."""

    nodes: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Two nodes or more."""

    nodes: tuple["Node", ...]


Node = Operand | Not | And | Or


class _Token(NamedTuple):
    kind: str  # "name", "quoted", "end" or the symbol itself
    text: str
    position: int


def is_bare(name: str) -> bool:
    """Whether a task's name stands without quotes: letters, digits, ``-`` and ``_`` only."""
    return bool(name) and all(_is_bare(character) for character in name)


def _is_bare(character: str) -> bool:
    return character.isalnum() or character in "-_"


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        character = text[position]
        if character.isspace():
            position += 1
            continue
        token, position = _token(text, position)
        yield token
    yield _Token("end", "", len(text))


def _token(text: str, position: int) -> tuple[_Token, int]:
    character = text[position]
    if character in "!().":
        return _Token(character, character, position), position + 1
    if character in "&|":
        if text[position : position + 2] != character * 2:
            msg = f"Write `{character * 2}` instead of a single `{character}`"
            raise DependsError(msg, position)
        return _Token(character * 2, character * 2, position), position + 2
    if character == '"':
        return _quoted(text, position)
    if _is_bare(character):
        end = position
        while end < len(text) and _is_bare(text[end]):
            end += 1
        return _Token("name", text[position:end], position), end
    msg = f"`{character}` has no meaning here; put a task's name that contains it in double quotes"
    raise DependsError(msg, position)


def _quoted(text: str, start: int) -> tuple[_Token, int]:
    characters: list[str] = []
    position = start + 1
    while position < len(text):
        character = text[position]
        if character == '"':
            return _Token("quoted", "".join(characters), start), position + 1
        if character == "\\":
            position += 1
            if text[position : position + 1] not in {'"', "\\"}:
                raise DependsError("After a backslash only a quote or a backslash may stand", position)
            character = text[position]
        characters.append(character)
        position += 1
    raise DependsError("The double quote that opens here is never closed", start)


class _Parser:
    """Recursive descent over the grammar of the spec language; depth is bounded before recursion is."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = next(self._tokens)
        self._operands = 0

    def whole(self) -> Node:
        node = self._or(0)
        if self._next.kind == ")":
            raise DependsError("This closing parenthesis was never opened", self._next.position)
        if self._next.kind != "end":
            raise DependsError("Write `&&` or `||` between two tasks", self._next.position)
        return node

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _or(self, depth: int) -> Node:
        nodes = [self._and(depth)]
        while self._next.kind == "||":
            self._take()
            nodes.append(self._and(depth))
        return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))

    def _and(self, depth: int) -> Node:
        nodes = [self._unary(depth)]
        while self._next.kind == "&&":
            self._take()
            nodes.append(self._unary(depth))
        return nodes[0] if len(nodes) == 1 else And(tuple(nodes))

    def _unary(self, depth: int) -> Node:
        token = self._next
        if token.kind not in {"!", "("}:
            return self._operand()
        if depth >= DEPENDS_DEPTH_MAX:
            msg = f"Parentheses and `!` are nested more than {DEPENDS_DEPTH_MAX} deep"
            raise DependsError(msg, token.position)
        self._take()
        if token.kind == "!":
            return Not(self._unary(depth + 1))
        node = self._or(depth + 1)
        if self._next.kind != ")":
            raise DependsError("The parenthesis that opens here is never closed", token.position)
        self._take()
        return node

    def _operand(self) -> Node:
        token = self._next
        if token.kind not in {"name", "quoted"}:
            raise DependsError("A task's name is missing", token.position)
        self._take()
        if not token.text:
            raise DependsError("A task's name can't be empty", token.position)
        self._operands += 1
        if self._operands > DEPENDS_OPERANDS_MAX:
            msg = f"More than {DEPENDS_OPERANDS_MAX} tasks are named"
            raise DependsError(msg, token.position)
        if self._next.kind != ".":
            return Operand(token.text)
        self._take()
        after = self._take()
        if after.kind == "quoted":
            return Operand(token.text, case=after.text)
        return Operand(token.text, _result(after))


def _result(token: _Token) -> DependsResult:
    if token.kind != "name":
        raise DependsError("After the dot a result such as SUCCESS or FAILURE is missing", token.position)
    if token.text == _DAEMONED:
        raise DependsError(
            "`Daemoned` asks for a task that runs on in the background, which Blockline hasn't", token.position
        )
    result = _ARGO.get(token.text) or DependsResult.__members__.get(token.text)
    if result is None:
        msg = f"`{token.text}` isn't a result; use one of {', '.join(DependsResult)}"
        raise DependsError(msg, token.position)
    return result


@lru_cache(maxsize=PARSED_KEPT_MAX)
def parse(text: str) -> Node | None:
    """The tree of a ``depends``; ``None`` for a root (nothing but spaces).

    Pure; repeated calls are cheap.

    Raises:
        DependsError: it isn't in the grammar or passes a limit (4 KiB, depth 32, 256 operands).
    """
    if len(text.encode(errors="surrogatepass")) > DEPENDS_BYTES_MAX:
        msg = f"`depends` is longer than {DEPENDS_BYTES_MAX} bytes"
        raise DependsError(msg, 0)
    if not text or text.isspace():
        return None
    return _Parser(text).whole()


def quote_name(name: str) -> str:
    """A task's name as it stands in ``depends``."""
    return name if is_bare(name) else _in_quotes(name)


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def render(node: Node | None) -> str:
    """The one spelling of a tree; the inverse of :func:`parse`."""
    match node:
        case None:
            return ""
        case Operand(task, result, case):
            if case is not None:
                return f"{quote_name(task)}.{_in_quotes(case)}"
            return quote_name(task) if result is None else f"{quote_name(task)}.{result}"
        case Not(inner):
            return f"!{render(inner) if isinstance(inner, Operand | Not) else f'({render(inner)})'}"
        case And(nodes):
            return " && ".join(f"({render(n)})" if isinstance(n, And | Or) else render(n) for n in nodes)
        case Or(nodes):
            return " || ".join(f"({render(n)})" if isinstance(n, Or) else render(n) for n in nodes)


def operands(node: Node | None) -> Iterator[Operand]:
    """Every operand, from left to right."""
    match node:
        case None:
            return
        case Operand():
            yield node
        case Not(inner):
            yield from operands(inner)
        case And(nodes) | Or(nodes):
            for inner in nodes:
                yield from operands(inner)


def names(node: Node | None) -> tuple[str, ...]:
    """The tasks that are named, each once, in order of appearance."""
    return tuple(dict.fromkeys(operand.task for operand in operands(node)))
