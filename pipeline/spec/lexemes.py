"""The words of an expression, without its grammar: enough to find where it ends and which tasks it names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from pipeline.core.errors import BlocklineError

OPENING: Final = {"(": ")", "[": "]", "{": "}"}
CLOSING: Final = frozenset(OPENING.values())
_PAIRS: Final = frozenset({"||", "&&", "==", "!=", "<=", ">="})
_STRING_PREFIXES: Final = frozenset({"r", "b", "rb", "br"})
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?"}


class LexemeError(BlocklineError):
    """A text that can't be cut into words; ``position`` is the offset of what is never closed, from 0."""

    def __init__(self, detail: str, position: int) -> None:
        """``detail`` is a sentence."""
        super().__init__(detail)
        self.position = position


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A word: ``text`` as written, ``value`` of a string without quotes and escapes, offsets from 0."""

    kind: Literal["name", "number", "string", "symbol"]
    text: str
    start: int
    end: int
    value: str = ""


class TaskName(NamedTuple):
    """A task that an expression names by ``tasks["…"]``; ``member`` is the field read of it, if one is."""

    name: str
    member: str | None
    position: int


def lexemes(text: str, start: int = 0) -> Iterator[Lexeme]:
    """The words of ``text`` from ``start`` on; spaces and comments are left out.

    Raises:
        LexemeError: a string is never closed (raised when it is reached).
    """
    position = start
    while position < len(text):
        if text[position].isspace():
            position += 1
        elif text.startswith("//", position):
            line_end = text.find("\n", position)
            position = len(text) if line_end < 0 else line_end
        else:
            lexeme = _lexeme(text, position)
            yield lexeme
            position = lexeme.end


def _lexeme(text: str, start: int) -> Lexeme:
    character = text[start]
    if character in "\"'":
        return _string(text, start, start)
    if character.isalpha() or character == "_":
        end = _run(text, start)
        if text[start:end].lower() in _STRING_PREFIXES and text[end : end + 1] in {'"', "'"}:
            return _string(text, start, end)
        return Lexeme("name", text[start:end], start, end)
    if character.isdigit():
        end = _run(text, start)
        return Lexeme("number", text[start:end], start, end)
    end = start + (2 if text[start : start + 2] in _PAIRS else 1)
    return Lexeme("symbol", text[start:end], start, end)


def _run(text: str, start: int) -> int:
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return end


def _string(text: str, start: int, opens: int) -> Lexeme:
    quote = text[opens] * 3 if text.startswith(text[opens] * 3, opens) else text[opens]
    is_raw = "r" in text[start:opens].lower()
    position = opens + len(quote)
    characters: list[str] = []
    while position < len(text):
        if text.startswith(quote, position):
            return Lexeme(
                "string", text[start : position + len(quote)], start, position + len(quote), "".join(characters)
            )
        if text[position] == "\\" and not is_raw:
            escaped = text[position + 1 : position + 2]
            characters.append(_ESCAPES.get(escaped, "\\" + escaped))
            position += 2
        else:
            characters.append(text[position])
            position += 1
    raise LexemeError("The quote that opens here is never closed.", start)


def task_names(text: str) -> tuple[TaskName, ...]:
    """The tasks that an expression names, in order; ``"x" in tasks`` only asks, so ``x`` isn't among them.

    A text that can't be cut into words names nothing: the check of the expression says what is wrong.
    """
    try:
        words = list(lexemes(text))
    except LexemeError:
        return ()
    asked = {
        words[i - 2].value
        for i in range(2, len(words))
        if words[i].text == "tasks" and words[i - 1].text == "in" and words[i - 2].kind == "string"
    }
    found = (_task_name(words, i) for i in range(len(words)) if _is_root(words, i, "tasks"))
    return tuple(name for name in found if name is not None and name.name not in asked)


def tasks_read(text: str) -> frozenset[str] | None:
    """The tasks whose members an expression may read; ``None`` where it may be any (``tasks[x]``, a macro over them).

    A text that can't be cut into words reads nothing: it can't be evaluated.
    """
    try:
        words = list(lexemes(text))
    except LexemeError:
        return frozenset()
    found = [_task_name(words, i) for i in range(len(words)) if _is_root(words, i, "tasks")]
    if any(name is None for name in found):
        return None
    return frozenset(name.name for name in found if name is not None)


def _is_root(words: list[Lexeme], index: int, name: str) -> bool:
    """Whether the word is this name itself, not a field of something (``x.tasks``)."""
    word = words[index]
    return word.kind == "name" and word.text == name and (index == 0 or words[index - 1].text != ".")


def _task_name(words: list[Lexeme], index: int) -> TaskName | None:
    after = words[index + 1 : index + 6]
    texts = [word.text for word in after]
    if len(after) >= 3 and texts[0] == "[" and after[1].kind == "string" and texts[2] == "]":  # noqa: PLR2004  (words)
        return TaskName(after[1].value, _member(after[3:]), after[1].start)
    if len(after) >= 2 and texts[0] == "." and after[1].kind == "name":  # noqa: PLR2004  (words)
        return TaskName(after[1].text, _member(after[2:]), after[1].start)
    return None


def _member(after: list[Lexeme]) -> str | None:
    return after[1].text if len(after) > 1 and after[0].text == "." and after[1].kind == "name" else None


def fields_of(text: str, *path: str) -> tuple[tuple[str, int], ...]:
    """The names (and their offsets) that follow ``path`` with dots, such as ``run.requester.`` and then a name."""
    try:
        words = list(lexemes(text))
    except LexemeError:
        return ()
    dotted = [part for name in path for part in (name, ".")]
    found: list[tuple[str, int]] = []
    for i in range(len(words) - len(dotted)):
        word = words[i + len(dotted)]
        if (
            [w.text for w in words[i : i + len(dotted)]] == dotted
            and _is_root(words, i, path[0])
            and word.kind == "name"
        ):
            found.append((word.text, word.start))
    return tuple(found)
