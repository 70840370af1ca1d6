from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.blocks.registry import Registry, RegistryError

REGISTRY = Registry.load("udfs.runners")


def is_template(text: str) -> bool:
    return "{{" in text


def test_types_have_the_blocks_of_control_among_them() -> None:
    assert REGISTRY.types() == ("APPROVAL", "CONDITION", "HTTP", "METADATA", "NOTIFICATION", "PASS", "SWITCH", "WAIT")
    assert REGISTRY.runner_types() == ("APPROVAL", "HTTP", "METADATA", "NOTIFICATION", "PASS")


@pytest.mark.parametrize("block_type", REGISTRY.types())
def test_a_description_is_json_with_schemas_that_are_schemas(block_type: str) -> None:
    description = REGISTRY.describe(block_type)
    for part in ("arguments", "output"):
        assert description[part]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        Draft202012Validator.check_schema(description[part])
    assert description["ui"]["order"] == list(description["arguments"].get("properties", {}))
    assert set(description["ui"]["widgets"]) <= set(description["ui"]["order"])


def test_what_only_the_engine_puts_into_an_argument_stays_out_of_forms() -> None:
    schema = REGISTRY.describe("APPROVAL")["arguments"]
    assert schema["$defs"]["Approvers"]["properties"]["owners"]["type"] == "boolean"
    assert "Owners" not in schema["$defs"]
    assert {"dueIn", "preventSelfApproval", "requireCommentOn"} <= set(schema["properties"])


def test_a_run_keeps_which_arguments_are_expressions() -> None:
    assert REGISTRY.defaults(["APPROVAL"])["APPROVAL"]["expressions"]["autoApprove"] == "condition"
    assert "expressions" not in REGISTRY.defaults(["PASS"])["PASS"]
    assert REGISTRY.expressions("PASS") == REGISTRY.expressions("NOPE") == {}


def test_only_human_tasks_end_approved() -> None:
    assert [kind for kind in (*REGISTRY.types(), "NOPE") if REGISTRY.is_human(kind)] == ["APPROVAL"]
    assert "APPROVED" in REGISTRY.describe("APPROVAL")["ports"]
    assert "APPROVED" not in REGISTRY.describe("PASS")["ports"]


def test_defaults_are_those_of_the_manifests_and_builtins_have_none() -> None:
    defaults = REGISTRY.defaults(["NOTIFICATION", "CONDITION", "NOTIFICATION"])
    assert set(defaults) == {"NOTIFICATION"}
    assert defaults["NOTIFICATION"]["lease_ms"] == 60_000
    assert defaults["NOTIFICATION"]["timeout_s"] == 45
    assert defaults["NOTIFICATION"]["retry"][0]["errorEquals"] == ["Mail.Connection", "Task.Timeout"]


def test_a_mail_server_may_be_away_for_a_quarter_of_an_hour() -> None:
    for retrier in REGISTRY.defaults(["NOTIFICATION"])["NOTIFICATION"]["retry"]:
        if "Mail.Connection" in retrier["errorEquals"]:
            delays = [
                min(retrier["intervalSeconds"] * retrier["backoffRate"] ** n, retrier["maxDelaySeconds"])
                for n in range(retrier["maxAttempts"])
            ]
            assert sum(delays) / 2 > 30 * 60  # FULL jitter halves a delay on average


def test_what_is_not_installed_is_named() -> None:
    for ask in (REGISTRY.describe, REGISTRY.manifest, lambda kind: REGISTRY.defaults([kind])):
        with pytest.raises(RegistryError, match="NOPE"):
            ask("NOPE")
    assert REGISTRY.check_arguments("NOPE", {"a": 1}, is_template) == []


def test_a_runner_gets_the_ports_it_needs_and_no_others() -> None:
    with pytest.raises(RegistryError, match="NOTIFICATION needs directory"):
        REGISTRY.create("NOTIFICATION", {"mailer": object()})
    assert isinstance(REGISTRY.create("PASS", {"mailer": object()}), REGISTRY.block("PASS").runner_type)


def test_a_type_is_there_once() -> None:
    block = REGISTRY.block("PASS")
    with pytest.raises(RegistryError, match="PASS is there twice"):
        Registry([block, block])


@pytest.mark.parametrize(
    ("block_type", "arguments", "pointers"),
    [
        ("PASS", {"output": ["{{ x }}", 1]}, []),
        ("CONDITION", {"expression": "has(asset.x)"}, []),
        ("CONDITION", {}, ["/expression"]),
        ("NOTIFICATION", {"recipient": "{{ run.requester.email }}", "payload": {"title": "t", "description": "d"}}, []),
        ("NOTIFICATION", {"recipient": "{{ x }}", "payload": {"title": "t"}}, ["/payload/description"]),
        ("NOTIFICATION", {"recipient": "a@b", "payload": "{{ x }}", "channel": "SMS"}, ["/channel"]),
        ("APPROVAL", {"title": "{{ x }}", "approvers": {"groups": ["g"]}, "dueIn": "P3D"}, []),
        ("APPROVAL", {"title": "t", "approvers": {"groups": ["g"]}, "dueIn": "3 days"}, ["/dueIn"]),
        ("APPROVAL", {"title": "t", "approvers": {"owners": "me"}, "dueIn": "P3D"}, ["/approvers/owners"]),
        ("APPROVAL", {"title": "t", "approvers": {"expression": "x"}, "dueIn": "P3D"}, []),
        ("APPROVAL", {"title": "t", "approvers": {}, "dueIn": "P3D", "reminders": ["soon"]}, ["/reminders/0"]),
        ("APPROVAL", {"title": "{{ x }}", "approvers": {}, "dueIn": "P3D", "options": ["REJECTED"]}, [""]),
        ("APPROVAL", {"title": "t", "approvers": {}, "dueIn": "P3D", "order": "RANDOM"}, ["/order"]),
        ("APPROVAL", {"title": "{{ x }}", "approvers": {}, "dueIn": "P3D", "rule": "COUNT"}, [""]),
        ("APPROVAL", {"title": "{{ x }}", "approvers": {}, "dueIn": "P3D", "rule": "COUNT", "count": "{{ n }}"}, []),
        ("APPROVAL", {"title": "t", "approvers": {}, "dueIn": "P3D", "owners": None}, ["/owners"]),
    ],
)
def test_static_arguments_are_checked(block_type: str, arguments: dict[str, Any], pointers: list[str]) -> None:
    problems = REGISTRY.check_arguments(block_type, arguments, is_template)
    assert [problem.pointer for problem in problems] == pointers
    assert all(problem.code.startswith("Arguments.") and problem.detail for problem in problems)
