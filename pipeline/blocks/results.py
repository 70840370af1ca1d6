"""What a block answered as the message that its run's sink gets: within every limit, and without secrets."""

from typing import Any

from pydantic import BaseModel

from pipeline.blocks.contract import ChangeIntent, EntityIntent, Failed, Succeeded, Waiting
from pipeline.blocks.secrets import Revealed
from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.core.limits import (
    ENTITIES_A_RESULT_MAX,
    ERROR_MESSAGE_CHARS_MAX,
    OUTPUT_ENTITY_BYTES_MAX,
    RESULT_BYTES_MAX,
    STATE_BYTES_MAX,
)
from pipeline.messages.canonical import MalformedError, encode
from pipeline.messages.changes import AssetChange, AssetRef, Tag
from pipeline.messages.envelopes import Dispatch, EntityWrite, ErrorInfo, Outcome, Result

Answer = Succeeded[BaseModel] | Failed | Waiting


def result_of(
    dispatch: Dispatch, answer: Answer, output_type: type[BaseModel], started_at: int, ended_at: int
) -> Result | Failed:
    """The answer as a result; or, where it isn't what the block promised or is too large, the failure that says so."""
    if isinstance(answer, Failed):
        return answer
    if not isinstance(answer, Succeeded | Waiting):
        return Failed(ErrorName.VALIDATION_OUTPUT, f"{dispatch.type} ended without an answer")
    changes = answer.changes if isinstance(answer, Succeeded) else ()
    refused = _too_many(len(answer.entities) + len(changes))
    if refused:
        return refused
    try:
        if isinstance(answer, Waiting):
            parts: dict[str, Any] = {
                "outcome": Outcome.WAITING,
                "state": _small(dict(answer.state), STATE_BYTES_MAX, "state"),
                "continue_at": answer.continue_at,
                "continue_cause": answer.continue_cause,
            }
        else:
            parts = {"outcome": Outcome.SUCCEEDED, "output": _output(answer.output, output_type)}
        result = Result(
            **_identity(dispatch),
            **parts,
            entities=tuple(map(_entity, answer.entities)),
            changes=tuple(map(_change, changes)) or None,
            started_at=started_at,
            ended_at=ended_at,
        )
        _small_bytes(result.encode(), RESULT_BYTES_MAX, "result")
    except _TooLargeError as error:
        return Failed(ErrorName.ENGINE_TOO_LARGE, str(error))
    except (
        MalformedError,
        ValueError,
        TypeError,
    ):  # pydantic's errors of validation and of serialisation are ValueErrors
        return Failed(ErrorName.VALIDATION_OUTPUT, f"what {dispatch.type} returned isn't what it promises to return")
    return result


class _TooLargeError(BlocklineError):
    """A part of a result is over its limit."""


def _small_bytes(encoded: bytes, bytes_max: int, name: str) -> None:
    if len(encoded) > bytes_max:
        raise _TooLargeError(f"the {name} has {len(encoded)} bytes; the limit is {bytes_max}")


def _small(value: Any, bytes_max: int, name: str) -> Any:
    _small_bytes(encode(value), bytes_max, name)
    return value


def _output(output: Any, output_type: type[BaseModel]) -> Any:
    if not isinstance(output, output_type):
        raise MalformedError("an output of another type")
    # Validated again: model_construct and a frozen model's mutable members can hold anything.
    dumped = output.model_dump(mode="json", by_alias=True, warnings=False)
    output_type.model_validate(dumped)
    return _small(dumped, OUTPUT_ENTITY_BYTES_MAX, "output")


def _too_many(count: int) -> Failed | None:
    if count > ENTITIES_A_RESULT_MAX:
        return Failed(
            ErrorName.ENGINE_TOO_LARGE, f"the result has {count} entities; the limit is {ENTITIES_A_RESULT_MAX}"
        )
    return None


def _entity(intent: EntityIntent) -> EntityWrite:
    return EntityWrite(
        type_name=intent.type_name, qualified_name=intent.qualified_name, attributes=dict(intent.attributes)
    )


def _change(intent: ChangeIntent) -> AssetChange:
    return AssetChange(
        asset=AssetRef(guid=intent.guid, type_name=intent.type_name, qualified_name=intent.qualified_name),
        set=dict(intent.set),
        add={name: list(values) for name, values in intent.add.items()},
        remove={name: list(values) for name, values in intent.remove.items()},
        custom=dict(intent.custom),
        terms_add=intent.terms_add,
        terms_remove=intent.terms_remove,
        tags=tuple(
            Tag(type_name=tag.type_name, attributes=dict(tag.attributes), propagate=tag.propagate)
            for tag in intent.tags
        ),
        untag=intent.untag,
        expect=dict(intent.expect),
    )


def failure_of(dispatch: Dispatch, failed: Failed, started_at: int, ended_at: int) -> Result:
    """A failure as a result; its message is cut to what is kept."""
    return Result(
        **_identity(dispatch),
        outcome=Outcome.FAILED,
        error=ErrorInfo(
            name=failed.name, message=failed.message[:ERROR_MESSAGE_CHARS_MAX], retry_after_s=failed.retry_after_s
        ),
        started_at=started_at,
        ended_at=ended_at,
    )


def _identity(dispatch: Dispatch) -> dict[str, Any]:
    return {
        "run_guid": dispatch.run_guid,
        "task": dispatch.task,
        "round": dispatch.round,
        "attempt": dispatch.attempt,
        "step": dispatch.step,
    }


def without_secrets(result: Result, given: Revealed) -> Result:
    """The result with every secret that the attempt was given masked in what is kept or shown of it."""
    said = result.model_dump(mode="python", include={"output", "state", "error", "entities", "changes"})
    return Result.model_validate({**dict(result), **given.hidden_in(said)})
