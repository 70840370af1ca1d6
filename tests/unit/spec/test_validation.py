"""Every finding of a validation: exact pointer, code and sentence."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.blocks.registry import Registry
from pipeline.core.errors import InvalidError, Problem
from pipeline.core.limits import TASKS_MAX
from pipeline.expressions.cel import CelEvaluator
from pipeline.spec.json_text import load_json
from pipeline.spec.model import digest, spec_of
from pipeline.spec.syntax import load_spec, normalise
from pipeline.spec.validation import Report, validate

EXAMPLES = Path(__file__).parents[3] / "examples"
EVALUATOR = CelEvaluator()
Found = list[tuple[str, str, str]]


class Types:
    """PASS takes anything, ASK is decided by people, CONDITION is left to the language."""

    def types(self) -> tuple[str, ...]:
        return ("PASS", "ASK", "APPROVAL")

    def expressions(self, block_type: str, /) -> dict[str, str]:
        return {}

    def is_human(self, block_type: str, /) -> bool:
        return block_type in {"ASK", "APPROVAL"}

    def secret_arguments(self, block_type: str, /) -> tuple[str, ...]:
        return ("header",) if block_type == "ASK" else ()

    def check_arguments(
        self, block_type: str, arguments: Mapping[str, Any], is_template: Callable[[Any], bool], /
    ) -> list[Problem]:
        wrong = [key for key, value in arguments.items() if key == "count" and not isinstance(value, int)]
        return [
            Problem(f"/{key}/deep", "Arguments.Invalid", f"{key} must be a number.")
            for key in wrong
            if not is_template(arguments[key])
        ]


def task(name: str, type_: str = "PASS", **members: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **members}


def dag(*tasks: Any, entrypoint: Any = "a", **members: Any) -> dict[str, Any]:
    return {"dag": {"entrypoint": entrypoint, "tasks": list(tasks), **members}}


def check(document: Any) -> Report:
    return validate(document, Types(), EVALUATOR)


def found(problems: tuple[Problem, ...]) -> Found:
    return [(problem.pointer, problem.code, problem.detail) for problem in problems]


A = task("a")
T0, T1 = "/dag/tasks/0", "/dag/tasks/1"


def later(pointer: str, what: str) -> Found:
    return [(pointer, "Spec.NotAvailable", f"`{what}` isn't available in this version.")]


@pytest.mark.parametrize(
    ("document", "problems"),
    [
        ([], [("", "Spec.WrongType", "A spec must be an object with the key `dag`.")]),
        (None, [("", "Spec.WrongType", "A spec must be an object with the key `dag`.")]),
        ({}, [("/dag", "Spec.Missing", "The key `dag` with the workflow's tasks is missing.")]),
        ({"dag": 3}, [("/dag", "Spec.WrongType", "`dag` must be an object.")]),
        (
            {**dag(A), "lables": {}},
            [("/lables", "Spec.UnknownKey", "The key `lables` isn't known here. Did you mean `labels`?")],
        ),
        (
            dag(A, entrypont="a"),
            [("/dag/entrypont", "Spec.UnknownKey", "The key `entrypont` isn't known here. Did you mean `entrypoint`?")],
        ),
        (
            dag({**A, "dependsOn": "x"}),
            [(f"{T0}/dependsOn", "Spec.UnknownKey", "The key `dependsOn` isn't known here. Did you mean `depends`?")],
        ),
        (
            dag({**A, "zzzz": 1}),
            [(f"{T0}/zzzz", "Spec.UnknownKey", "The key `zzzz` isn't known here.")],
        ),
        (
            {**dag(A), "labels": {"a": 1}},
            [("/labels", "Spec.WrongType", "`labels` must be an object of at most 50 texts.")],
        ),
        ({**dag(A), "failFast": True}, later("/failFast", "failFast")),
        ({**dag(A), "failFast": 0}, later("/failFast", "failFast")),
        ({**dag(A), "failFast": False}, []),
        ({**dag(A), "trigger": {}}, later("/trigger", "trigger")),
        ({**dag(A), "output": {}}, later("/output", "output")),
        ({**dag(A), "expiresIn": "P3D"}, later("/expiresIn", "expiresIn")),
        ({**dag(A), "onFailure": "COMPENSATE"}, later("/onFailure", "onFailure")),
        ({**dag(A), "retention": "P3D"}, later("/retention", "retention")),
        (dag({**A, "finally": True}), later(f"{T0}/finally", "finally")),
        (dag({**A, "finally": False, "optional": False, "onExhausted": "FAIL"}), []),
        (dag({**A, "onExhausted": "INCIDENT"}), []),
        (dag({**A, "optional": True}), later(f"{T0}/optional", "optional")),
        (dag({**A, "join": "SETTLED"}), later(f"{T0}/join", "join")),
        (dag({**A, "compensate": {}}), later(f"{T0}/compensate", "compensate")),
        (dag({**A, "heartbeatSeconds": 3}), later(f"{T0}/heartbeatSeconds", "heartbeatSeconds")),
        (
            dag({**A, "onExhausted": "LATER"}),
            [(f"{T0}/onExhausted", "Spec.WrongType", "`onExhausted` must be FAIL or INCIDENT.")],
        ),
        (
            dag(),
            [
                ("/dag/tasks", "Spec.Missing", "`tasks` must be a list of at least one task."),
            ],
        ),
        (dag(A, 3), [(T1, "Spec.WrongType", "A task must be an object.")]),
        (
            dag(A, {}),
            [
                (f"{T1}/name", "Spec.Missing", "The task has no name."),
                (f"{T1}/type", "Spec.Missing", "The task has no type."),
            ],
        ),
        (
            dag(A, task("x\ny")),
            [(f"{T1}/name", "Spec.TaskName", "A task's name must be a text of 1 to 128 printable characters.")],
        ),
        (
            dag(A, task("x" * 129)),
            [(f"{T1}/name", "Spec.TaskName", "A task's name must be a text of 1 to 128 printable characters.")],
        ),
        (dag(A, A), [(f"{T1}/name", "Spec.DuplicateTask", "Two tasks have the name `a`; a name must be unique.")]),
        (
            dag(task("a", "PAS")),
            [(f"{T0}/type", "Spec.UnknownType", "There is no block of type `PAS`. Did you mean `PASS`?")],
        ),
        (
            dag(task("a", "XYZZY")),
            [
                (
                    f"{T0}/type",
                    "Spec.UnknownType",
                    "There is no block of type `XYZZY`. There are APPROVAL, ASK, CONDITION, PASS.",
                )
            ],
        ),
        *(
            (
                dag(task("a", name)),
                [(f"{T0}/type", "Spec.NotAvailable", f"The type `{name}` isn't available in this version.")],
            )
            for name in ("FOR_EACH", "WORKFLOW", "CALLBACK", "TRANSFORM")
        ),
        (
            {"dag": {"tasks": [A]}},
            [("/dag/entrypoint", "Spec.Missing", "`entrypoint` must name the task that starts first.")],
        ),
        (
            dag(A, entrypoint=3),
            [("/dag/entrypoint", "Spec.WrongType", "`entrypoint` must name the task that starts first.")],
        ),
        (
            dag(task("begin"), entrypoint="begn"),
            [
                (
                    "/dag/entrypoint",
                    "Spec.Entrypoint",
                    "`entrypoint` names `begn`, which isn't there. Did you mean `begin`?",
                )
            ],
        ),
        (
            dag(A, task("b", depends="a"), entrypoint="b"),
            [("/dag/entrypoint", "Spec.Entrypoint", "`b` starts the workflow, so it can't have `depends`.")],
        ),
        (dag(A, exitpoints="a"), [("/dag/exitpoints", "Spec.WrongType", "`exitpoints` must be a list of task names.")]),
        (
            dag(A, exitpoints=["z"]),
            [("/dag/exitpoints/0", "Spec.Exitpoint", "`exitpoints` names `z`, which isn't there.")],
        ),
        (dag(A, exitpoints=["a", "a"]), [("/dag/exitpoints/1", "Spec.Exitpoint", "`a` is named twice.")]),
        (
            dag(A, task("b", depends="a &")),
            [(f"{T1}/depends", "Spec.Depends", "Write `&&` instead of a single `&` (character 3).")],
        ),
        (
            dag(A, task("b", depends=3)),
            [(f"{T1}/depends", "Spec.WrongType", "`depends` must be a text such as `first.SUCCESS`.")],
        ),
        (
            dag(task("fetch"), task("b", depends="fetsh.SUCCESS"), entrypoint="fetch"),
            [
                (
                    f"{T1}/depends",
                    "Spec.DanglingDepends",
                    "`depends` names the task `fetsh`, which isn't there. Did you mean `fetch`?",
                )
            ],
        ),
        (
            dag(A, task("b", depends="d"), task("c", depends="b"), task("d", depends="c && a")),
            [(f"{T1}/depends", "Spec.Cycle", "These tasks wait for each other for ever: b → d → c → b.")],
        ),
        (
            dag(A, task("b", depends="b")),
            [(f"{T1}/depends", "Spec.Cycle", "These tasks wait for each other for ever: b → b.")],
        ),
        (
            dag(A, task("b", depends="a.SUCCESS && a.FAILURE")),
            [(f"{T1}/depends", "Spec.Unreachable", "`b` can never run: its `depends` is never true.")],
        ),
        (
            dag(A, task("b", depends="a.EXPIRED"), task("c", depends="b"), task("d", depends="b.OMITTED")),
            [
                (f"{T1}/depends", "Spec.Unreachable", "`b` can never run: its `depends` is never true."),
                ("/dag/tasks/2/depends", "Spec.Unreachable", "`c` can never run: its `depends` is never true."),
            ],
        ),
        (
            dag(A, task("b", depends="a.APPROVED")),
            [
                (
                    f"{T1}/depends",
                    "Spec.HumanResult",
                    "`a` isn't decided by people, so it can't end APPROVED; use SUCCESS or FAILURE.",
                )
            ],
        ),
        (
            dag(A, task("b", depends='a."high"')),
            [
                (
                    f"{T1}/depends",
                    "Spec.NoCases",
                    "`a` has no cases, since it isn't a SWITCH; ask for a result, such as SUCCESS.",
                )
            ],
        ),
        (
            dag(A, task("b", depends="a.ALL_FAILURE")),
            [
                (
                    f"{T1}/depends",
                    "Spec.NotAvailable",
                    "`ALL_FAILURE` is for lists: FOR_EACH isn't available in this version.",
                )
            ],
        ),
        (
            dag(task("a", "ASK")),
            [
                (
                    f"{T0}/arguments/dueIn",
                    "Spec.NoDeadline",
                    "Say by when people must decide: give `dueIn`, such as P3D for three days.",
                )
            ],
        ),
        (
            dag(task("a", endStatus="SUCCES")),
            [
                (
                    f"{T0}/endStatus",
                    "Spec.EndStatus",
                    "`endStatus` must be APPROVED, REJECTED or SUCCESS. Did you mean `SUCCESS`?",
                )
            ],
        ),
        (
            dag(task("a", endStatus="FAILURE")),
            [(f"{T0}/endStatus", "Spec.EndStatus", "`endStatus` must be APPROVED, REJECTED or SUCCESS.")],
        ),
        (
            dag(task("a", timeoutSeconds=0)),
            [
                (
                    f"{T0}/timeoutSeconds",
                    "Spec.WrongType",
                    "`timeoutSeconds` must be a number of seconds, more than 0 and at most 31622400.",
                )
            ],
        ),
        (
            dag(task("a", maxDurationSeconds=True)),
            [
                (
                    f"{T0}/maxDurationSeconds",
                    "Spec.WrongType",
                    "`maxDurationSeconds` must be a number of seconds, more than 0 and at most 31622400.",
                )
            ],
        ),
        (
            dag(task("a", title="")),
            [(f"{T0}/title", "Spec.WrongType", "`title` must be a text of 1 to 256 characters.")],
        ),
    ],
)
def test_documents(document: Any, problems: Found) -> None:
    assert found(check(document).errors) == problems


@pytest.mark.parametrize(
    ("retry", "pointer", "detail"),
    [
        ({}, "", "`retry` must be a list; an empty one means never."),
        ([3], "/0", "An entry of `retry` must be an object."),
        ([{}], "/0/errorEquals", "`errorEquals` must be a list of at least one error name."),
        ([{"errorEquals": []}], "/0/errorEquals", "`errorEquals` must be a list of at least one error name."),
        (
            [{"errorEquals": ["Http.5x"]}],
            "/0/errorEquals/0",
            "`Http.5x` isn't the name of an error. Did you mean `Http.5xx`?",
        ),
        (
            [{"errorEquals": ["Condition.False"]}],
            "/0/errorEquals/0",
            "`Condition.False` is never retried: it would end the same again.",
        ),
        ([{"errorEquals": ["Task.ALL", "Http.5xx"]}], "/0/errorEquals", "`Task.ALL` must stand alone in its entry."),
        (
            [{"errorEquals": ["Task.ALL"]}, {"errorEquals": ["Http.5xx"]}],
            "/0/errorEquals",
            "`Task.ALL` must be in the last entry.",
        ),
        (
            [{"errorEquals": ["Task.ALL"], "maxAttempts": 1.5}],
            "/0/maxAttempts",
            "`maxAttempts` must be a whole number from 0 to 100.",
        ),
        (
            [{"errorEquals": ["Task.ALL"], "intervalSeconds": -1}],
            "/0/intervalSeconds",
            "`intervalSeconds` must be a number from 0.001 to 31622400.",
        ),
        (
            [{"errorEquals": ["Task.ALL"], "backoffRate": 0.5}],
            "/0/backoffRate",
            "`backoffRate` must be a number from 1 to 100.",
        ),
        (
            [{"errorEquals": ["Task.ALL"], "jitterStrategy": "SOME"}],
            "/0/jitterStrategy",
            "`jitterStrategy` must be NONE or FULL.",
        ),
    ],
)
def test_retry(retry: Any, pointer: str, detail: str) -> None:
    assert found(check(dag(task("a", retry=retry))).errors) == [(f"{T0}/retry{pointer}", "Spec.Retry", detail)]


def test_an_unknown_key_of_a_retrier() -> None:
    retry = [{"errorEquals": ["Task.ALL"], "interval": 3}]
    assert found(check(dag(task("a", retry=retry))).errors) == [
        (
            f"{T0}/retry/0/interval",
            "Spec.UnknownKey",
            "The key `interval` isn't known here. Did you mean `intervalSeconds`?",
        )
    ]


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        (3, [("", "Spec.WrongType", "`arguments` must be a list of objects with one key each, or an object.")]),
        ([{"a": 1, "b": 2}], [("/0", "Spec.WrongType", "An argument must be an object with one key.")]),
        ([{"a": 1}, {"b": 1}, {"a": 2}], [("/2", "Spec.DuplicateKey", "The argument `a` is given twice.")]),
        ([{"x": 1}, {"count": "many"}], [("/1/count/deep", "Arguments.Invalid", "count must be a number.")]),
        ({"x": 1, "count": "many"}, [("/count/deep", "Arguments.Invalid", "count must be a number.")]),
        ([{"count": "{{ run.input.n }}"}], []),
        (
            [{"x": ["{{ foo }}"]}],
            [("/0/x/0", "Spec.Expression", "`foo` names nothing (character 4).")],
        ),
        (
            {"x": 'y {{ tasks["nope"].output }}'},
            [("/x", "Spec.UnknownTask", "The expression names the task `nope`, which isn't there.")],
        ),
        (
            {"x": '{{ tasks["b"].ouput }}'},
            [("/x", "Spec.UnknownTask", "A task has `output` and `status`, but no `ouput`.")],
        ),
        (
            {"x": "{{ tasks.a.output }}"},
            [("/x", "Spec.OwnOutput", "The expression names its own task, which hasn't ended when it is evaluated.")],
        ),
        ({"x": '{{ "nope" in tasks ? tasks["nope"].output : 1 }}'}, []),
        (
            {"x": {"y": ["{{ secrets.TOKEN }}"]}},
            [
                (
                    "/x/y/0",
                    "Spec.Secret",
                    "A task of this type is given no secrets: what it is told can be read by people.",
                )
            ],
        ),
        (
            {"x": '{{ secrets.TOKEN + "x" }}'},
            [
                (
                    "/x",
                    "Spec.Secret",
                    "A secret stands alone in its template, `{{ secrets.NAME }}`: expressions can't read it.",
                )
            ],
        ),
        (
            {"x": "{{ item }}"},
            [("/x", "Spec.NotAvailable", "`item` belongs to FOR_EACH, which isn't available in this version.")],
        ),
        ({"x": "{{ run.input.l.map(item, item.name) }}"}, []),
        ({"x": '{{ 1 + "a" }}'}, [("/x", "Spec.Expression", "`+` can't be applied to (int, string) (character 6).")]),
        (
            {"x": "a {{ b"},
            [("/x", "Spec.Template", "The template that opens here is never closed with `}}` (character 3).")],
        ),
        ({"x": "{{{{ b"}, []),
    ],
)
def test_arguments(arguments: Any, problems: Found) -> None:
    document = dag(task("a", arguments=arguments), task("b", depends="a"))
    expected = [(f"{T0}/arguments{pointer}", code, detail) for pointer, code, detail in problems]
    assert found(check(document).errors) == expected


@pytest.mark.parametrize(
    ("members", "problems"),
    [
        ({"when": "run.input.x == 1"}, []),
        (
            {"when": "1 + 1"},
            [("when", "Spec.Expression", "The expression isn't a condition: it must be true or false.")],
        ),
        ({"when": "1 +"}, [("when", "Spec.Expression", "The expression ends too early (character 4).")]),
        (
            {"when": "{{ true }}"},
            [("when", "Spec.Expression", "Write the expression itself here, without `{{` and `}}`.")],
        ),
        ({"when": 1}, [("when", "Spec.WrongType", "`when` must be a text of 1 to 196608 characters.")]),
        ({"when": "x" * 5000}, [("when", "Spec.Expression", "The expression is longer than 4096 characters.")]),
        (
            {"type": "CONDITION"},
            [("arguments/expression", "Arguments.Missing", "A CONDITION needs the argument `expression`, a text.")],
        ),
        (
            {"type": "CONDITION", "arguments": {"expression": '"a" < 1', "expresion": 1}},
            [
                (
                    "arguments/expresion",
                    "Arguments.UnknownKey",
                    "A CONDITION has no argument `expresion`. Did you mean `expression`?",
                ),
                ("arguments/expression", "Spec.Expression", "`<` can't be applied to (string, int) (character 5)."),
            ],
        ),
    ],
)
def test_conditions(members: dict[str, Any], problems: Found) -> None:
    expected = [(f"{T0}/{pointer}", code, detail) for pointer, code, detail in problems]
    assert found(check(dag({**A, **members})).errors) == expected


def test_secrets_stand_where_the_block_keeps_them_from_people() -> None:
    def problems(**arguments: Any) -> Found:
        given = [{"dueIn": "P1D"}, *({key: value} for key, value in arguments.items())]
        return found(check(dag(task("a", "ASK", arguments=given))).errors)

    assert problems(header={"x": "Key {{ secrets.KEY }} {{ run.input.n }}", "y": ["{{secrets . KEY}}"]}) == []
    assert problems(title="{{ secrets.KEY }}") == [
        (
            "/dag/tasks/0/arguments/1/title",
            "Spec.Secret",
            "A secret can't stand here, where people can read it; in this task it can stand in `header`.",
        )
    ]
    assert problems(header='{{ secrets.KEY | default: "x" }}') == [
        (
            "/dag/tasks/0/arguments/1/header",
            "Spec.Secret",
            "A secret has no default: without it the task fails Auth.Denied.",
        )
    ]
    assert problems(header="{{ secrets.KEY.size() }}{{ secrets }}{{ [1].exists(secrets, secrets > 0) }}") == [
        (
            "/dag/tasks/0/arguments/1/header",
            "Spec.Secret",
            "A secret stands alone in its template, `{{ secrets.NAME }}`: expressions can't read it.",
        )
    ]


def test_too_many_tasks() -> None:
    report = check(dag(A, *(task(f"t{i}", depends="a") for i in range(TASKS_MAX))))
    assert found(report.errors) == [
        ("/dag/tasks", "Spec.TooManyTasks", "A spec has at most 500 tasks; this one has 501.")
    ]


def test_a_spec_of_300_kib() -> None:
    report = check(dag(task("a", arguments={"output": "x" * 300 * 1024})))
    assert found(report.errors) == [("", "Spec.TooLarge", "The spec is larger than 192 KiB.")]


def test_not_json() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, 2**70, "\ud800"):
        report = check(dag(task("a", arguments={"output": value})))
        assert [problem.code for problem in report.errors] == ["Spec.NotJson"]


def test_the_inputs_schema_is_checked() -> None:
    report = check({**dag(A), "input": {"type": "objekt"}})
    assert [(problem.pointer, problem.code) for problem in report.errors] == [("/input/type", "Spec.InputSchema")]


def test_everything_is_said_at_once_in_the_documents_order() -> None:
    document = {
        **dag(
            task("a", "PAS"),
            task("b", depends="nope", endStatus="X", arguments={"x": "{{ foo }}"}),
            {"name": "c", "dependz": ""},
            exitpoints=["zz"],
        ),
        "secret": 1,
    }
    assert [problem.pointer for problem in check(document).errors] == [
        "/dag/exitpoints/0",
        "/dag/tasks/0/type",
        "/dag/tasks/1/arguments/x",
        "/dag/tasks/1/depends",
        "/dag/tasks/1/endStatus",
        "/dag/tasks/2/dependz",
        "/dag/tasks/2/type",
        "/secret",
    ]


UNCERTAIN = "The output of `b` may not be there when `z` runs: let its `depends` ask for SUCCESS, or give a default."


@pytest.mark.parametrize(
    ("depends", "template", "is_warned"),
    [
        ("a.SUCCESS && b.SUCCESS", "{{ tasks.b.output }}", False),
        ("a.SUCCESS || b.SUCCESS", "{{ tasks.b.output }}", True),
        ("a.SUCCESS || b.SUCCESS", "{{ tasks.b.output | default: 1 }}", False),
        ("a || b", "{{ has(tasks.b.output) ? tasks.b.output : 1 }}", False),
        ("a || b", '{{ tasks["b"].status == "SUCCESS" ? tasks["b"].output : 1 }}', False),
        ("b", "{{ tasks.b.output }}", False),
        ("b.FAILURE", "{{ tasks.b.output }}", True),
        ("b.DONE", "{{ tasks.b.output }}", True),
        ("a", "{{ tasks.b.output }}", True),
        ("after-b", "{{ tasks.b.output }}", False),
        ("after-b.FAILURE", "{{ tasks.b.output }}", False),
        ("after-b.DONE", "{{ tasks.b.output }}", True),
        ("!b.FAILURE", "{{ tasks.b.output }}", True),
        ("(b && a) || (b && after-b)", "{{ tasks.b.output }}", False),
    ],
)
def test_outputs_that_may_not_be_there(depends: str, template: str, is_warned: bool) -> None:  # noqa: FBT001  (a column)
    document = dag(A, task("b"), task("after-b", depends="b"), task("z", depends=depends, arguments={"x": template}))
    report = check(document)
    assert report.errors == ()
    expected = [("/dag/tasks/3/arguments/x", "Spec.UncertainOutput", UNCERTAIN)] if is_warned else []
    assert found(report.warnings) == expected


def test_a_task_that_may_be_skipped_makes_no_output_certain() -> None:
    document = dag(A, task("b", when="run.input.x"), task("z", depends="b", arguments={"x": "{{ tasks.b.output }}"}))
    assert [problem.detail for problem in check(document).warnings] == [UNCERTAIN]


def test_the_stored_form() -> None:
    document = {
        **dag(
            {
                **task("a", title="First", retry=[], arguments={"one": 1, "two": "{{ run.input }}"}),
                "depends": "",
                "status": "SUCCESS",
                "updated_at": 3,
                "engine": {},
                "output": 1,
                "finally": False,
            },
            task("b c", "ASK", depends='a.Succeeded||"a".Failed', arguments=[{"dueIn": "P3D"}], endStatus="REJECTED"),
        ),
        "labels": {"team": "data"},
        "input": {"type": "object"},
        "failFast": False,
        "run": {},
        "engine": {},
        "v": 1,
        "signature": "x",
    }
    report = check(document)
    assert report.errors == ()
    assert report.normalised == {
        "dag": {
            "entrypoint": "a",
            "exitpoints": ["b c"],
            "tasks": [
                {
                    "name": "a",
                    "type": "PASS",
                    "title": "First",
                    "arguments": [{"one": 1}, {"two": "{{ run.input }}"}],
                    "retry": [],
                },
                {
                    "name": "b c",
                    "type": "ASK",
                    "endStatus": "REJECTED",
                    "depends": "a.SUCCESS || a.FAILURE",
                    "arguments": [{"dueIn": "P3D"}],
                },
            ],
        },
        "input": {"type": "object"},
        "labels": {"team": "data"},
    }
    assert normalise(report.normalised) == report.normalised
    assert digest(report.normalised) == digest(normalise(document))
    spec = report.spec
    assert spec is not None
    assert spec == spec_of({**report.normalised, "run": {}, "engine": {}, "v": 1, "signature": "x"})
    assert spec.exitpoints == ("b c",)
    assert spec.followers == {"a": ("b c",), "b c": ()}
    assert spec.tasks["a"].arguments_dict == {"one": 1, "two": "{{ run.input }}"}
    assert spec.tasks["a"].retry == ()
    assert spec.tasks["b c"].retry is None


def test_load_spec_refuses_with_all_problems() -> None:
    with pytest.raises(InvalidError) as caught:
        load_spec(dag(task("a", depends="&"), task("b", retry=3)))
    assert [problem.pointer for problem in caught.value.problems] == [f"{T0}/depends", f"{T1}/retry"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_the_examples_are_valid_and_in_the_stored_form(path: Path) -> None:
    document = load_json(path.read_bytes())
    report = validate(document, Registry.load("udfs.runners"), EVALUATOR)
    assert report.errors == ()
    assert report.warnings == ()
    assert report.normalised == document


def test_there_are_examples() -> None:
    assert {"access-request", "certify-table", "chain-of-five", "diamond", "notify", "open-ticket"} <= {
        path.stem for path in EXAMPLES.glob("*.json")
    }
