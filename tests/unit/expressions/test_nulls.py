"""A null of an expression costs no reference to None: the library's own way to read one does."""

import sys

from pipeline.expressions.cel import CelEvaluator

TIMES = 2_000


def test_nulls_dont_wear_none_out() -> None:
    evaluator = CelEvaluator()
    scope = {"run": {"input": {"n": None}, "requester": {"name": "ann"}}, "tasks": {}, "asset": None, "now": 1}
    assert evaluator.evaluate("run.input.n", scope) is None
    before = sys.getrefcount(None)
    for _ in range(TIMES):
        evaluator.evaluate("run.input.n", scope)
    assert before - sys.getrefcount(None) < TIMES / 2
