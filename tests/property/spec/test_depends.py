"""``parse`` after ``render`` is the identity; truth agrees with a naive enumeration."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.limits import DEPENDS_BYTES_MAX
from pipeline.core.statuses import TERMINAL, TaskStatus
from pipeline.spec.depends import (
    LIST_RESULTS,
    And,
    DependsError,
    DependsResult,
    Node,
    Not,
    Operand,
    Or,
    names,
    parse,
    render,
)
from pipeline.spec.truth import evaluate

PRINTABLE = st.text(
    st.characters(exclude_categories=["C", "Z"], include_characters=' "\\.&|!()'), min_size=1, max_size=8
)
OPERANDS = st.builds(Operand, PRINTABLE, st.none() | st.sampled_from(DependsResult)) | st.builds(
    Operand, PRINTABLE, st.none(), PRINTABLE
)


def nodes(operands: st.SearchStrategy[Operand], leaves_max: int) -> st.SearchStrategy[Node]:
    def extend(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        several = st.lists(inner, min_size=2, max_size=4).map(tuple)
        return st.builds(Not, inner) | st.builds(And, several) | st.builds(Or, several)

    return st.recursive(operands, extend, max_leaves=leaves_max)


@given(nodes(OPERANDS, 20))
def test_parse_after_render_is_the_identity(node: Node) -> None:
    text = render(node)
    if len(text.encode()) <= DEPENDS_BYTES_MAX:
        assert parse(text) == node
        assert render(parse(text)) == text


@given(st.text(st.sampled_from('ab."\\!&|() \tSUCCESSx-ü'), max_size=40) | st.text(max_size=40))
def test_any_text_parses_or_is_refused_with_a_position(text: str) -> None:
    try:
        node = parse(text)
    except DependsError as error:
        assert 0 <= error.position <= len(text)  # noqa: PT017  (either outcome is right)
    else:
        assert parse(render(node)) == node


NAMES = "abc"
RESULTS = [result for result in DependsResult if result not in LIST_RESULTS | {DependsResult.REJECTED}]
SMALL = nodes(st.builds(Operand, st.sampled_from(NAMES), st.none() | st.sampled_from(RESULTS)), 6)
GROUPS = {
    None: {"SUCCESS", "SKIPPED"},
    "APPROVED": {"SUCCESS"},
    "FAILED_ANY": {"FAILURE", "TIMED_OUT", "EXPIRED"},
    "COMPLETED": {"SUCCESS", "FAILURE", "TIMED_OUT", "EXPIRED"},
    "DONE": {str(status) for status in TERMINAL},
}


def plain(node: Node, ended: dict[str, TaskStatus]) -> bool:
    """Two-valued truth when every task has ended."""
    match node:
        case Operand(task, result, _):
            return str(ended[task]) in GROUPS.get(result, {str(result)})
        case Not(inner):
            return not plain(inner, ended)
        case And(inners):
            return all(plain(inner, ended) for inner in inners)
        case Or(inners):
            return any(plain(inner, ended) for inner in inners)


@given(SMALL, st.dictionaries(st.sampled_from(NAMES), st.sampled_from(sorted(TERMINAL))))
def test_truth_is_never_revised(node: Node, ended: dict[str, TaskStatus]) -> None:
    """A certain answer agrees with every way in which the rest may end (so it never changes)."""
    truth = evaluate(node, ended.get)
    still_open = [name for name in names(node) if name not in ended]
    outcomes = {
        plain(node, ended | dict(zip(still_open, statuses, strict=True)))
        for statuses in product(sorted(TERMINAL), repeat=len(still_open))
    }
    if truth is not None:
        assert outcomes == {truth}
    if not still_open:
        assert truth is not None


def kleene(node: Node, ended: dict[str, TaskStatus]) -> float:
    """Kleene's logic as numbers: true 1, false 0, unknown a half; and is the least, or the greatest."""
    match node:
        case Operand(task, _, _):
            return float(plain(node, ended)) if task in ended else 0.5
        case Not(inner):
            return 1 - kleene(inner, ended)
        case And(inners):
            return min(kleene(inner, ended) for inner in inners)
        case Or(inners):
            return max(kleene(inner, ended) for inner in inners)


@given(SMALL, st.dictionaries(st.sampled_from(NAMES), st.sampled_from(sorted(TERMINAL))))
def test_truth_is_kleenes(node: Node, ended: dict[str, TaskStatus]) -> None:
    assert evaluate(node, ended.get) is {1.0: True, 0.0: False, 0.5: None}[kleene(node, ended)]
