"""Secrets from the place in the arguments to the attempt, and never out of it."""

import asyncio
import base64
import logging
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, JsonValue

from pipeline.blocks.contract import (
    Arguments,
    Attempt,
    ChangeIntent,
    EntityIntent,
    Output,
    Runner,
    ValueOutput,
    failed,
    succeeded,
    waiting,
)
from pipeline.blocks.manifest import parse_manifest
from pipeline.blocks.secrets import MASK, SecretError, reveal, secret_arguments
from pipeline.blocks.shell import RunnerShell
from pipeline.core.errors import ErrorName
from pipeline.core.limits import SECRET_CHARS_MIN
from pipeline.messages.envelopes import Dispatch, Requester, Result
from pipeline.testing.block_suite import EXAMPLE_AT_MS, ExampleClock

TOKEN = 'tok/en+with=all "kinds" of ü'


class Kept:
    """Secrets in memory; ``asked`` are the names somebody wanted."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = secrets
        self.asked: list[str] = []

    async def get(self, name: str) -> str:
        self.asked.append(name)
        if name not in self.secrets:
            raise SecretError(f"There is no secret {name}.")
        return self.secrets[name]


def parts(*texts: str | dict[str, str]) -> dict[str, Any]:
    return {"$parts": list(texts)}


def named(name: str) -> dict[str, str]:
    return {"$secret": name}


def revealed(arguments: dict[str, Any], *places: str, **secrets: str) -> dict[str, Any]:
    return asyncio.run(reveal(arguments, places, Kept(**secrets))).arguments


def test_strings_in_parts_are_put_together_where_the_dispatch_says() -> None:
    given_ = {"headers": {"a/b": parts("Bearer ", named("T"), "!"), "n": 1}, "list": [0, parts(named("U"))]}
    assert revealed(given_, "/headers/a~1b", "/list/1", T="s3cret-t", U="s3cret-u") == {
        "headers": {"a/b": "Bearer s3cret-t!", "n": 1},
        "list": [0, "s3cret-u"],
    }


def test_what_only_looks_like_a_secret_stays_a_value() -> None:
    kept = Kept(T="s3cret-t", OTHER="s3cret-o")
    forged = parts("Bearer ", named("OTHER"))
    given_ = {"body": forged, "headers": {"x": parts(named("T"))}}
    assert asyncio.run(reveal(given_, ["/headers/x"], kept)).arguments == {"body": forged, "headers": {"x": "s3cret-t"}}
    assert kept.asked == ["T"]


def test_a_secret_that_holds_a_reference_isnt_followed() -> None:
    assert revealed({"x": parts(named("T"))}, "/x", T="{{ secrets.OTHER }}") == {"x": "{{ secrets.OTHER }}"}


@pytest.mark.parametrize(
    "value", [{}, {"x": "text"}, {"x": {"$parts": "text"}}, {"x": None}, {"x": {"y": 1}}, {"y": 1}]
)
@pytest.mark.parametrize("place", ["/x", "/x/y"])
def test_a_place_without_parts_is_refused(value: dict[str, Any], place: str) -> None:
    with pytest.raises(SecretError, match="The task's arguments have no place for their secret"):
        revealed(value, place)


def test_what_is_too_short_to_hide_is_refused() -> None:
    with pytest.raises(SecretError, match=f"The secret T is shorter than {SECRET_CHARS_MIN} characters"):
        revealed({"x": parts(named("T"))}, "/x", T="x" * (SECRET_CHARS_MIN - 1))
    assert revealed({"x": parts(named("T"))}, "/x", T="x" * SECRET_CHARS_MIN)


@given(st.text(min_size=SECRET_CHARS_MIN, max_size=40), st.text(max_size=12), st.text(max_size=12))
def test_nothing_a_service_echoes_gives_a_secret_away(secret: str, before: str, after: str) -> None:
    masks = asyncio.run(reveal({"x": parts(named("T"))}, ["/x"], Kept(T=secret)))
    echoed = f"{before}{secret}{after}".encode()
    # Its first and last characters may be written together with what stands beside it; what is left says little.
    for written in (base64.b64encode(echoed), base64.urlsafe_b64encode(echoed)):
        text = written.decode()
        assert MASK in masks.hidden(text)
        assert MASK in masks.hidden(text.rstrip("="))
    assert MASK in masks.hidden(before + secret + after)
    assert MASK in masks.hidden(quote(secret, safe=""))


class EchoArguments(Arguments):
    do: str
    value: JsonValue = None
    token: str = Field(default="", json_schema_extra={"writeOnly": True})
    headers: dict[str, str] = Field(default_factory=dict, alias="someHeaders", json_schema_extra={"writeOnly": True})


class EchoRunner(Runner[EchoArguments, ValueOutput]):
    arguments_type: ClassVar[type[Arguments]] = EchoArguments
    output_type: ClassVar[type[BaseModel]] = ValueOutput

    def __init__(self) -> None:
        self.told: list[EchoArguments] = []

    async def run(self, arguments: EchoArguments, attempt: Attempt) -> Any:
        self.told.append(arguments)
        token = arguments.token
        match arguments.do:
            case "fail":
                return failed(ErrorName.HTTP_4XX, f"the service says: {token} isn't valid")
            case "wait":
                return waiting({"token": token})
            case "raise":
                raise RuntimeError(token)
            case "write":
                entity = EntityIntent("T", "q", {"a": [token]})
                change = ChangeIntent(guid="g", set={"description": token}, custom={token: token})
                return succeeded(ValueOutput(None), entities=(entity,), changes=(change,))
            case _:
                return succeeded(ValueOutput({token: [f"<{token}>", {"n": 1, "x": None}]}))


MANIFEST = parse_manifest(
    'type = "ECHO"\ntitle = "S"\nsummary = "s"\ncategory = "Data"\nicon = "x"\nowners = ["t"]\n'
    'stability = "beta"\ndelivery = "pure"\ntimeout_seconds = 5\ncapabilities = ["secrets"]\n',
    "echo",
)


def attempt(do: str, place: str = "/token", runner: EchoRunner | None = None, **secrets: str) -> Result:
    arguments = {"do": do, place[1:]: parts(named("T"))}
    dispatch = Dispatch(
        run_guid="g",
        run_name="n",
        task="t",
        type="ECHO",
        arguments=arguments,
        secrets=(place,),
        requester=Requester(name="ana"),
        dispatched_at=EXAMPLE_AT_MS,
        valid_until=EXAMPLE_AT_MS + 60_000,
        shard=0,
    )
    shell = RunnerShell(runner or EchoRunner(), MANIFEST, ExampleClock(), secrets=Kept(**secrets))
    return asyncio.run(shell.attempt(dispatch))


def test_the_block_gets_it_and_nobody_else() -> None:
    runner = EchoRunner()
    result = attempt("echo", runner=runner, T=TOKEN)
    assert [told.token for told in runner.told] == [TOKEN]
    assert result.output == {MASK: [f"<{MASK}>", {"n": 1, "x": None}]}


@pytest.mark.parametrize("do", ["echo", "fail", "wait", "write", "raise"])
def test_no_part_of_a_result_has_it(do: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "abcdefgh-plain-text"
    sent = attempt(do, T=secret).encode()
    assert secret.encode() not in sent
    assert (MASK.encode() in sent) is (do != "raise")
    assert all(secret not in record.getMessage() for record in caplog.records)


def test_a_secret_that_isnt_there_fails_the_task_by_name() -> None:
    error = attempt("echo", OTHER="x" * 20).error
    assert error is not None
    assert (error.name, error.message) == (ErrorName.AUTH_DENIED, "There is no secret T.")


def test_an_argument_that_people_can_read_gets_none() -> None:
    runner = EchoRunner()
    error = attempt("echo", "/value", runner, T=TOKEN).error
    assert error is not None
    assert (error.name, error.message) == (ErrorName.AUTH_DENIED, "A secret can't stand in the argument value.")
    assert not runner.told


def test_a_vertex_without_secrets_says_so() -> None:
    dispatch = Dispatch(
        run_guid="g",
        run_name="n",
        task="t",
        type="ECHO",
        arguments={"do": "echo", "token": parts(named("T"))},
        secrets=("/token",),
        requester=Requester(name="ana"),
        dispatched_at=EXAMPLE_AT_MS,
        valid_until=EXAMPLE_AT_MS + 60_000,
        shard=0,
    )
    error = asyncio.run(RunnerShell(EchoRunner(), MANIFEST, ExampleClock()).attempt(dispatch)).error
    assert error is not None
    assert error.message == "This block's vertex is given no secrets, so there is none called T."


def test_secret_arguments_are_those_the_model_marks() -> None:
    assert secret_arguments(EchoArguments) == {"token", "someHeaders"}
    assert secret_arguments(Output) == frozenset()
