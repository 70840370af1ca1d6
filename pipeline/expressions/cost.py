"""What an expression may cost at worst, from its words alone and from the size of the values at hand.

The library bounds steps (10,000 iterations an evaluation) and depth (32), not memory: a macro that doubles a string,
applied 30 times, fits 300 characters. So growth is bounded before anything is evaluated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from pipeline.core.limits import (
    EXPRESSION_COMPARED_MAX,
    EXPRESSION_GROWTH_MAX,
    EXPRESSION_MACROS_MAX,
    EXPRESSION_TEXT_BYTES_MAX,
)
from pipeline.spec.lexemes import CLOSING, OPENING, Lexeme, lexemes

MACROS: Final = frozenset({"all", "exists", "exists_one", "map", "filter"})
LISTING_MACROS: Final = frozenset({"map", "filter"})
"""Their result depends on the order in which they visit: see :func:`in_order`."""
IN_ORDER: Final = "inOrder"
_GROWING: Final = frozenset({"+", ","})
_COMPARING: Final = frozenset({"==", "!=", "in"})
_ITERATIONS_MAX: Final = 10_000
_PARTS: Final = frozenset({"run", "tasks", "asset", "item"})


@dataclass(frozen=True, slots=True)
class Cost:
    """``growth``: how often a value may be repeated, ``joins``: by ``+`` alone; ``depth``: macros inside macros."""

    growth: int
    joins: int
    macros: int
    depth: int
    is_joining: bool
    is_comparing: bool
    literals: int
    parts: frozenset[str]

    @property
    def excess(self) -> str | None:
        """Why the expression is refused whatever the values are; ``None`` if it isn't."""
        if self.macros > EXPRESSION_MACROS_MAX:
            return f"The expression uses more than {EXPRESSION_MACROS_MAX} macros such as map and exists."
        if self.growth > EXPRESSION_GROWTH_MAX:
            return "The expression could repeat its values too often; use fewer `+` and lists inside map."
        return None

    @property
    def needs_sizes(self) -> bool:
        """Whether :func:`excess_with` has anything to look at."""
        return self.depth > 0 and (self.is_joining or self.is_comparing)


@dataclass(slots=True)
class _Macro:
    bracket: int
    is_listing: bool
    # of its commas one separates the variable from the body and repeats nothing: hence 0 here and 1 below
    growth: int = 0
    joins: int = 1


def cost_of(text: str) -> Cost:
    """The cost of an expression.

    Raises:
        LexemeError: a quote is never closed.
    """
    words = list(lexemes(text))
    open_macros: list[_Macro] = []
    closed: list[_Macro] = []
    brackets = depth = 0
    growth_outside = 1
    for i, word in enumerate(words):
        if word.kind == "symbol" and word.text in OPENING:
            brackets += 1
            if _is_macro(words, i - 1, MACROS):
                open_macros.append(_Macro(brackets, words[i - 1].text in LISTING_MACROS))
                depth = max(depth, len(open_macros))
        elif word.kind == "symbol" and word.text in CLOSING:
            if open_macros and open_macros[-1].bracket == brackets:
                closed.append(open_macros.pop())
            brackets -= 1
        elif word.text in _GROWING and word.kind == "symbol":
            for macro in open_macros:
                macro.growth += 1
                macro.joins += word.text == "+"
            growth_outside += not open_macros and word.text == "+"
    closed.extend(open_macros)
    listing = [macro for macro in closed if macro.is_listing]
    texts = {word.text for word in words if word.kind != "string"}
    return Cost(
        growth=growth_outside * prod(max(1, macro.growth) for macro in listing),
        joins=growth_outside * prod(macro.joins for macro in closed),
        macros=len(closed),
        depth=depth,
        is_joining=any(macro.joins > 1 for macro in closed),
        is_comparing=bool(texts & _COMPARING) and bool(listing),
        literals=len(text),
        parts=frozenset(texts & _PARTS),
    )


def _is_macro(words: list[Lexeme], index: int, names: frozenset[str]) -> bool:
    return index > 0 and words[index].kind == "name" and words[index].text in names and words[index - 1].text == "."


def excess_with(cost: Cost, scope: Mapping[str, Any]) -> str | None:
    """Why the expression is refused with these values; ``None`` if it isn't."""
    if not cost.needs_sizes:
        return None
    sizes = _Sizes()
    sizes.add(scope[part] for part in cost.parts if part in scope)
    longest = max(sizes.longest_list, cost.literals) * cost.joins
    iterations = min(_ITERATIONS_MAX, longest**cost.depth)
    text_bytes = iterations * cost.joins * max(sizes.longest_text, cost.literals)
    if cost.is_joining and text_bytes > EXPRESSION_TEXT_BYTES_MAX:
        return "The expression joins long texts in long lists, which would need too much memory."
    if cost.is_comparing and iterations * cost.growth * sizes.values > EXPRESSION_COMPARED_MAX:
        return "The expression compares lists that are too long."
    return None


class _Sizes:
    """The longest text and list, and the number of values, of some JSON values."""

    def __init__(self) -> None:
        self.longest_text = 0
        self.longest_list = 0
        self.values = 1

    def add(self, values: Iterable[Any]) -> None:
        stack = list(values)
        while stack:
            value = stack.pop()
            self.values += 1
            if isinstance(value, str):
                self.longest_text = max(self.longest_text, len(value))
            elif isinstance(value, Mapping):
                self.longest_list = max(self.longest_list, len(value))
                stack.extend(value.values())
            elif isinstance(value, list | tuple):
                self.longest_list = max(self.longest_list, len(value))
                stack.extend(value)


def in_order(text: str) -> str:
    """The expression with its maps visited in the order of their keys.

    The library visits a map in an order that differs from process to process; a repeated dispatch must resolve to
    the same value. ``x.map(…)`` becomes ``x.inOrder().map(…)``, a function that gives a map's sorted keys and a
    list itself.

    Raises:
        LexemeError: a quote is never closed.
    """
    words = list(lexemes(text))
    pieces: list[str] = []
    done = 0
    for i in range(len(words)):
        if _is_macro(words, i, LISTING_MACROS) and i + 1 < len(words) and words[i + 1].text == "(":
            dot = words[i - 1].start
            pieces.append(f"{text[done:dot]}.{IN_ORDER}()")
            done = dot
    pieces.append(text[done:])
    return "".join(pieces)
