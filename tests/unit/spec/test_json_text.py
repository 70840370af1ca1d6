"""What a JSON parser lets pass silently."""

import pytest

from pipeline.core.errors import InvalidError
from pipeline.core.limits import JSON_DEPTH_MAX
from pipeline.spec.json_text import JSON_TEXT_BYTES_MAX, load_json


def test_a_value() -> None:
    text = '{"a": [1, {"b": "x{}[],:\\"\\\\", "c": {}}, []], "ü": null, "d": {"a": {"a": 1}}}'
    assert load_json(text.encode()) == {
        "a": [1, {"b": 'x{}[],:"\\', "c": {}}, []],
        "ü": None,
        "d": {"a": {"a": 1}},
    }
    assert load_json(b" 3 ") == 3


@pytest.mark.parametrize(
    ("text", "pointers"),
    [
        (b'{"a": 1, "a": 2}', ["/a"]),
        (b'{"x": [0, {"b": 1, "c": [1, 2], "b": 1}]}', ["/x/1/b"]),
        (b'{"a": 1, "\\u0061": 2}', ["/a"]),
        (b'{"a": {"a": 1}, "b": {"q": 1, "q": 1}, "a": 3}', ["/b/q", "/a"]),
        (b'[[], {"k/": 1, "k/": 1}]', ["/1/k~1"]),
    ],
)
def test_a_key_given_twice(text: bytes, pointers: list[str]) -> None:
    with pytest.raises(InvalidError) as caught:
        load_json(text)
    assert [problem.pointer for problem in caught.value.problems] == pointers
    assert {problem.code for problem in caught.value.problems} == {"Json.DuplicateKey"}
    assert caught.value.problems[0].detail.endswith("is given twice.")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"NaN", b'{"a": Infinity}', b"[1,]", b"{'a': 1}", b'"\xff"', b'"\\ud800"', b"1 2"]
)
def test_not_json(text: bytes) -> None:
    with pytest.raises(InvalidError) as caught:
        load_json(text)
    (problem,) = caught.value.problems
    assert problem.code == "Json.Syntax"
    assert "(line 1, column " in problem.detail


def test_limits() -> None:
    assert load_json(b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX)
    for deep in (JSON_DEPTH_MAX + 1, 1000):
        with pytest.raises(InvalidError, match="nested more than 64 deep"):
            load_json(b"[" * deep + b"]" * deep)
    with pytest.raises(InvalidError, match="This isn't JSON"):
        load_json(b"[" * 100_000)
    with pytest.raises(InvalidError, match="larger than"):
        load_json(b" " * (JSON_TEXT_BYTES_MAX + 1))
