"""The grammar of ``depends``: trees, our spelling, positions of errors."""

import pytest

from pipeline.core.limits import DEPENDS_DEPTH_MAX, DEPENDS_OPERANDS_MAX
from pipeline.spec.depends import (
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

A, B, C = Operand("a"), Operand("b"), Operand("c")


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("", None),
        ("  \n\t", None),
        ("a", A),
        ("a.SUCCESS", Operand("a", DependsResult.SUCCESS)),
        ("a . FAILED_ANY", Operand("a", DependsResult.FAILED_ANY)),
        ("a && b || c", Or((And((A, B)), C))),
        ("a && (b || c)", And((A, Or((B, C))))),
        ("a&&b&&c", And((A, B, C))),
        ("(a && b) && c", And((And((A, B)), C))),
        ("!a || !!b", Or((Not(A), Not(Not(B))))),
        ("!(a && b)", Not(And((A, B)))),
        ("((a))", A),
        ('"Ask the owner".SUCCESS', Operand("Ask the owner", DependsResult.SUCCESS)),
        ('"say \\"hi\\" \\\\".DONE', Operand('say "hi" \\', DependsResult.DONE)),
        ('route."high"', Operand("route", case="high")),
        ("übung-1_x", Operand("übung-1_x")),
        ("1-2", Operand("1-2")),
    ],
)
def test_parse(text: str, node: Node | None) -> None:
    assert parse(text) == node


@pytest.mark.parametrize(
    ("argo", "ours"),
    [
        ("a.Succeeded && b.Failed", "a.SUCCESS && b.FAILURE"),
        ("a.Errored", "a.FAILURE"),
        ("a.Skipped||a.Omitted", "a.SKIPPED || a.OMITTED"),
        ("a.AnySucceeded || a.AllFailed", "a.ANY_SUCCESS || a.ALL_FAILURE"),
        ('"a".SUCCESS', "a.SUCCESS"),
        ('!("a b" && c)', '!("a b" && c)'),
        ("(a || b) || c", "(a || b) || c"),
    ],
)
def test_written_back_in_our_spelling(argo: str, ours: str) -> None:
    assert render(parse(argo)) == ours


@pytest.mark.parametrize(
    ("text", "position", "sentence"),
    [
        ("a &", 2, "Write `&&` instead of a single `&` (character 3)."),
        ("a | b", 2, "Write `||` instead of a single `|` (character 3)."),
        ("a && ", 5, "A task's name is missing (character 6)."),
        ("a b", 2, "Write `&&` or `||` between two tasks (character 3)."),
        ("(a", 0, "The parenthesis that opens here is never closed (character 1)."),
        ("a)", 1, "This closing parenthesis was never opened (character 2)."),
        ("a.", 2, "After the dot a result such as SUCCESS or FAILURE is missing (character 3)."),
        ('a && "b', 5, "The double quote that opens here is never closed (character 6)."),
        ('""', 0, "A task's name can't be empty (character 1)."),
        ('"a\\n"', 3, "After a backslash only a quote or a backslash may stand (character 4)."),
        (
            "a.b c",
            2,
            f"`b` isn't a result; use one of {', '.join(DependsResult)} (character 3).",
        ),
        (
            "a.Daemoned",
            2,
            "`Daemoned` asks for a task that runs on in the background, which Blockline hasn't (character 3).",
        ),
        ("a + b", 2, "`+` has no meaning here; put a task's name that contains it in double quotes (character 3)."),
    ],
)
def test_errors_say_where(text: str, position: int, sentence: str) -> None:
    with pytest.raises(DependsError) as caught:
        parse(text)
    assert (caught.value.position, str(caught.value)) == (position, sentence)


def test_limits() -> None:
    parse("(" * DEPENDS_DEPTH_MAX + "a" + ")" * DEPENDS_DEPTH_MAX)
    with pytest.raises(DependsError, match="nested more than 32 deep"):
        parse("(" * (DEPENDS_DEPTH_MAX + 1) + "a" + ")" * (DEPENDS_DEPTH_MAX + 1))
    with pytest.raises(DependsError, match="nested more than 32 deep"):
        parse("!" * (DEPENDS_DEPTH_MAX + 1) + "a")
    parse("||".join(["a"] * DEPENDS_OPERANDS_MAX))
    with pytest.raises(DependsError, match="More than 256 tasks"):
        parse("||".join(["a"] * (DEPENDS_OPERANDS_MAX + 1)))
    with pytest.raises(DependsError, match="longer than 4096 bytes"):
        parse(" " * 4097)
    with pytest.raises(DependsError, match="longer than 4096 bytes"):
        parse("ü" * 2049)


def test_names_come_once_in_order() -> None:
    assert names(parse("b && (a || !b.FAILURE) && c")) == ("b", "a", "c")
    assert names(None) == ()
