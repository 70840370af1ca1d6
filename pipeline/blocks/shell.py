"""One dispatch in, one result out: everything around a block's ``run`` that is the same for all blocks.

It awaits nothing but the runner and the port :class:`TimeLimit`, so the simulator drives this very code with a
scheduler of its own.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

from pydantic import ValidationError

from pipeline.blocks.contract import Arguments, Attempt, Failed, Runner
from pipeline.blocks.manifest import Manifest
from pipeline.blocks.outputs import ArgumentReader, OutputsAwayError
from pipeline.blocks.results import Answer, failure_of, result_of, without_secrets
from pipeline.blocks.secrets import NoSecrets, Revealed, SecretError, Secrets, reveal, secret_arguments
from pipeline.blocks.sentences import findings
from pipeline.core.clock import Clock
from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.core.limits import (
    CLOCK_SKEW_MAX_MS,
)
from pipeline.messages.canonical import MalformedError
from pipeline.messages.envelopes import Dispatch, Result, parse_dispatch
from pipeline.messages.tagged import DEAD_TAG, Tagged, dead_letter, shard_tag
from pipeline.spec.expressions import ExpressionError

T = TypeVar("T")
READ_TRIES_MAX: Final = 4
"""How often an output is asked for before the dispatch is left to its lease."""
READ_AGAIN_S: Final = 0.25
"""Before the second try; doubled for each later one."""
OnResult = Callable[[Result], None]
"""Told of each result; cheap, and never raises."""
_LOG: Final = logging.getLogger("blockline.runner")


def _nobody(_: Result) -> None:
    """Where nobody counts."""


class OverTimeError(Exception):
    """The work was cancelled, since it took longer than it may."""


class TimeLimit(Protocol):
    """Port to whatever can end work that takes too long."""

    async def within(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """The work's own result or error.

        Raises:
            OverTimeError: it took longer than ``timeout_s``, and was cancelled.
        """
        ...


class NoTimeLimit:
    """Waits for as long as it takes; for worlds that have a time-out of their own."""

    async def within(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:  # noqa: ARG002  (the port's)
        """See :class:`TimeLimit`."""
        return await work


class AttemptTraces(Protocol):
    """Port to whatever tells of attempts; calls are cheap and never raise."""

    def traceparent(self, dispatch: Dispatch, started_at: int) -> str | None:
        """The W3C header for services that this attempt calls; None where it isn't traced."""
        ...

    def ended(self, dispatch: Dispatch, result: Result) -> None:
        """The attempt has its result."""
        ...


class RunnerShell:
    """Makes the attempts of one type of block in a vertex; ``handle`` may be called concurrently."""

    def __init__(
        self,
        runner: Runner[Any, Any],
        manifest: Manifest,
        clock: Clock,
        *,
        time_limit: TimeLimit | None = None,
        reader: ArgumentReader | None = None,
        secrets: Secrets | None = None,
        on_result: OnResult = _nobody,
        traces: AttemptTraces | None = None,
    ) -> None:
        """Without ``time_limit`` attempts take as long as they take; without ``reader`` tasks whose arguments name an
        output that is an entity fail, and without ``secrets`` those that name a secret.
        """
        self._runner = runner
        self._manifest = manifest
        self._clock = clock
        self._time_limit = time_limit or NoTimeLimit()
        self._reader = reader
        self._secrets = secrets or NoSecrets()
        self._secret_arguments = secret_arguments(runner.arguments_type)
        self._on_result = on_result
        self._traces = traces
        self._working: set[tuple[str, int]] = set()
        self.vertex = f"runner-{manifest.type.lower()}"

    async def handle(self, payload: bytes) -> Tagged | None:
        """The result of the dispatch in ``payload``, for the shard of its run.

        None where there is nothing to say: the dispatch is out of date (the shard has re-dispatched, or will), the
        same attempt is under way here and will answer, or an output that it names can't be read now (the shard will
        re-dispatch). What isn't a dispatch for this block becomes a dead
        letter. Never raises for what is in the payload.
        """
        try:
            dispatch = parse_dispatch(payload)
        except MalformedError as error:
            return self.refuse(payload, str(error))
        if dispatch.type != self._manifest.type:
            return self.refuse(payload, f"a task of type {dispatch.type} came to {self.vertex}", dispatch.run_guid)
        if self._clock.now_ms() > dispatch.valid_until + CLOCK_SKEW_MAX_MS:
            return None
        work = (str(dispatch.effect_key), dispatch.attempt)
        if work in self._working:
            return None
        self._working.add(work)
        try:
            result = await self.attempt(dispatch)
        except OutputsAwayError as error:
            _LOG.warning("%s waits for an output of another task: %s", dispatch.effect_key, error)
            return None
        finally:
            self._working.discard(work)
        self._on_result(result)
        return Tagged(result.encode(), shard_tag(dispatch.shard))

    async def attempt(self, dispatch: Dispatch) -> Result:
        """One attempt; its result fits every limit of a message.

        Raises:
            OutputsAwayError: an output that the arguments name can't be read now; the block wasn't asked.
        """
        started_at = self._clock.now_ms()
        result = await self._result(dispatch, started_at)
        if self._traces is not None:
            self._traces.ended(dispatch, result)
        return result

    async def _result(self, dispatch: Dispatch, started_at: int) -> Result:
        try:
            given = await self._given(dispatch)
        except SecretError as error:
            return self._kept(dispatch, Failed(ErrorName.AUTH_DENIED, str(error)), started_at)
        except ExpressionError as error:
            return self._kept(dispatch, Failed(error.error_name, str(error)), started_at)
        result = self._kept(dispatch, await self._answer(dispatch, given, started_at), started_at)
        return without_secrets(result, given) if given.has_secrets else result

    def _kept(self, dispatch: Dispatch, answer: Answer, started_at: int) -> Result:
        """The answer as a result that fits."""
        result = result_of(dispatch, answer, self._runner.output_type, started_at, self._clock.now_ms())
        if isinstance(result, Failed):
            # The name only: the message is for those who may see the run.
            _LOG.info("an attempt ended with %s", result.name, extra=self._about(dispatch))
            result = failure_of(dispatch, result, started_at, self._clock.now_ms())
        return result

    def _about(self, dispatch: Dispatch) -> dict[str, str | int]:
        return {"vertex": self.vertex, "run": dispatch.run_guid, "task": dispatch.task, "attempt": dispatch.attempt}

    async def _answer(self, dispatch: Dispatch, given: Revealed, started_at: int) -> Answer:
        model: type[Arguments] = self._runner.arguments_type
        try:
            arguments = model.model_validate(given.arguments)
        except ValidationError as error:
            said = "; ".join(finding.sentence for finding in findings(error, model, given.arguments))
            return Failed(ErrorName.VALIDATION_INPUT, said)
        timeout_s = dispatch.timeout_s or self._manifest.timeout_seconds
        attempt = _attempt(dispatch, self._traces.traceparent(dispatch, started_at) if self._traces else None)
        try:
            return await self._time_limit.within(self._runner.run(arguments, attempt), timeout_s)
        except OverTimeError:
            return Failed(ErrorName.TASK_TIMEOUT, f"the attempt took longer than {timeout_s:g} s")
        except BlocklineError as error:
            return Failed(ErrorName.TASK_FAILED, str(error))
        except Exception as error:  # noqa: BLE001  (whatever a block raises fails its task, never the vertex)
            # Only the kind of error goes into the run: its text may hold a secret or a path.
            _LOG.exception("%s failed unexpectedly", dispatch.type, extra=self._about(dispatch))
            return Failed(ErrorName.TASK_FAILED, f"the block failed with an unexpected {type(error).__name__}")

    async def _given(self, dispatch: Dispatch) -> Revealed:
        for place in dispatch.secrets or ():
            name = place.split("/")[1]
            if name not in self._secret_arguments:
                raise SecretError(f"A secret can't stand in the argument {name}.")
        return await reveal(await self._arguments(dispatch), dispatch.secrets or (), self._secrets)

    async def _arguments(self, dispatch: Dispatch) -> dict[str, Any]:
        if dispatch.deferred is None:
            return dispatch.arguments
        if self._reader is None:
            raise ExpressionError("An argument names an output that this runner can't read: it has no store.")
        for tried in range(READ_TRIES_MAX - 1):
            try:
                return await self._reader.arguments(dispatch.deferred)
            except OutputsAwayError:
                await self._clock.sleep(READ_AGAIN_S * 2**tried)
        return await self._reader.arguments(dispatch.deferred)

    def refuse(self, payload: bytes, reason: str, run_guid: str | None = None) -> Tagged:
        """The dead letter of ``payload``; ``reason`` is one sentence without stack trace or secret."""
        letter = dead_letter(payload, reason=reason, vertex=self.vertex, at=self._clock.now_ms(), run_guid=run_guid)
        return Tagged(letter.encode(), DEAD_TAG)


def _attempt(dispatch: Dispatch, traceparent: str | None) -> Attempt:
    return Attempt(
        effect_key=dispatch.effect_key,
        attempt=dispatch.attempt,
        now_ms=dispatch.dispatched_at,
        run_name=dispatch.run_name,
        requester_name=dispatch.requester.name,
        workflow=dispatch.workflow,
        title=dispatch.title,
        requester_email=dispatch.requester.email,
        requester_groups=dispatch.requester.groups,
        asset=dispatch.asset,
        cause=dispatch.cause,
        state=dispatch.state,
        traceparent=traceparent,
    )
