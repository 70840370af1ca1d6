from pipeline.core.ids import shard_of
from pipeline.core.statuses import TaskStatus
from pipeline.machine.document import from_document, to_document
from pipeline.messages.canonical import decode, encode
from pipeline.messages.envelopes import Dispatch, Outcome, Result
from tests.unit.machine.runs import CREATED_AT, GUID, Story, request, task


def test_only_what_this_revision_started_is_sent() -> None:
    story = Story(request(task("a"), task("b"), task("c", "a")))
    assert [message.task for message in story.sent()] == ["a", "b"]
    story.succeed("a")
    assert [message.task for message in story.sent()] == ["c"]
    story.now += 1
    story.apply(story.result("b", Outcome.EXTEND))
    assert story.sent() == []


def test_a_dispatch_says_all_that_a_runner_needs() -> None:
    asked = request(
        task(
            "a",
            type="NOTIFICATION",
            title="Tell them",
            timeoutSeconds=12,
            arguments=[
                {"to": "{{ run.requester.email }}"},
                {"amount": "{{ run.input.amount }}"},
                {"text": "{{ asset.attributes.name }}: {{ run.input.amount }} {{{{ {{ run.input.no | default: null }}"},
                {"nested": {"list": ["{{ asset.attributes.description }}", None, True]}},
            ],
        ),
        workflow={"guid": "w", "name": "access", "version": 2, "digest": "d", "owner": "olga"},
    )
    (message,) = Story(asked).sent()
    assert isinstance(message, Dispatch)
    assert message.arguments == {
        "to": "ann@example.org",
        "amount": 3,
        "text": "orders: 3 {{ null",
        "nested": {"list": ["all of them", None, True]},
    }
    assert (message.workflow, message.title, message.timeout_s) == ("access", "Tell them", 12)
    assert (message.dispatched_at, message.valid_until) == (CREATED_AT, CREATED_AT + 30_000)
    assert message.shard == shard_of(GUID, 4)
    assert message.asset == {
        "guid": "asset-1",
        "typeName": "Table",
        "attributes": {"name": "orders", "qualifiedName": "db/orders"},
    }
    assert str(message.effect_key) == f"{GUID}/a/0/0"


def test_the_stored_document_gives_the_same_messages() -> None:
    story = Story(request(task("a"), task("b", "a", arguments=[{"x": '{{ tasks["a"].output.n }}'}])))
    story.now += 50
    story.succeed("a", {"n": [1, None]})
    stored = from_document(decode(encode(to_document(story.run))), GUID)
    live, story.run = story.sent(), stored
    assert story.sent() == live
    assert live[0].arguments == {"x": [1, None]}  # type: ignore[union-attr]


def test_an_argument_that_names_nothing_fails_the_task_for_good() -> None:
    retry = [{"errorEquals": ["Task.ALL"]}]
    bad = task("b", "a", arguments=[{"x": '{{ tasks["a"].output.missing }}'}], retry=retry)
    story = Story(request(task("a"), bad))
    story.succeed("a", {})
    (message,) = story.sent()
    assert isinstance(message, Result)
    assert message.outcome is Outcome.FAILED
    assert (message.started_at, message.ended_at) == (story.now, story.now)
    assert story.sent() == [message]
    story.apply(message)
    assert story.state("b").status is TaskStatus.FAILURE
    assert story.state("b").error.name == "Expression.AbsentOutput"  # type: ignore[union-attr]


def test_a_run_without_an_asset_sends_none() -> None:
    (message,) = Story(request(task("a"), asset=None)).sent()
    assert isinstance(message, Dispatch)
    assert message.asset is None
