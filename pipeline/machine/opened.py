"""Runs of sealed texts, each opened once: what one part of a process has signed or verified, no other reads again."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from pipeline.core.limits import OPENED_RUNS_CHARS_MAX
from pipeline.machine.document import from_document
from pipeline.machine.effects import Transition
from pipeline.machine.run import Run, parse_request
from pipeline.machine.start import start
from pipeline.messages.seal import Seal, Sealed
from pipeline.spec.expressions import Evaluator

T = TypeVar("T", Run, Transition)
Key = tuple[Sealed, str, str, str]
"""What a text is, what it was signed for, the guid of its run, and the text."""


class OpenedRuns:
    """A text is found by every character of it and by what it belongs to. One that was changed, or that stands
    elsewhere, is another text and is verified. So what is given never depends on what is kept.

    Runs are immutable, so all parts of a process may share one of these; not safe from several threads.
    """

    def __init__(self, seal: Seal, evaluator: Evaluator, *, chars_max: int = OPENED_RUNS_CHARS_MAX) -> None:
        """``chars_max``: of the texts that are kept; the least recently used leave first."""
        self._seal = seal
        self._evaluator = evaluator
        self._chars_left = chars_max
        self._kept: OrderedDict[Key, Run | Transition] = OrderedDict()

    def document(self, run_guid: str, text: str) -> Run:
        """The run of a document.

        Raises:
            TamperedError: it wasn't signed by this engine for this run.
            MalformedError: it isn't a document of version 1.
        """

        def opened() -> Run:
            return from_document(self._seal.open(Sealed.DOCUMENT, run_guid, text), run_guid)

        return self._get(Run, (Sealed.DOCUMENT, run_guid, run_guid, text), opened)

    def started(self, qualified_name: str, run_guid: str, text: str) -> Transition:
        """What a request starts as, see :func:`~pipeline.machine.start.start`.

        Raises:
            TamperedError: it wasn't signed by this engine for a run of this name.
            MalformedError: it isn't a request of version 1.
        """

        def opened() -> Transition:
            request = parse_request(self._seal.open(Sealed.REQUEST, qualified_name, text), qualified_name)
            return start(request, run_guid, self._evaluator)

        return self._get(Transition, (Sealed.REQUEST, qualified_name, run_guid, text), opened)

    def signed(self, run: Run, text: str) -> None:
        """This is the document of ``run``, just signed: who reads it next needn't open it."""
        self._keep((Sealed.DOCUMENT, run.guid, run.guid, text), run)

    def kept(self, run_guid: str, text: str) -> Run | None:
        """The run of a document that is kept; ``None`` says nothing about the text."""
        found = self._kept.get((Sealed.DOCUMENT, run_guid, run_guid, text))
        return found if isinstance(found, Run) else None

    def _get(self, kind: type[T], key: Key, opened: Callable[[], T]) -> T:
        found = self._kept.get(key)
        if isinstance(found, kind):
            self._kept.move_to_end(key)
            return found
        value = opened()
        self._keep(key, value)
        return value

    def _keep(self, key: Key, value: Run | Transition) -> None:
        if key not in self._kept:
            self._chars_left -= len(key[-1])
        self._kept[key] = value
        self._kept.move_to_end(key)
        while self._chars_left < 0:
            (*_, text), _ = self._kept.popitem(last=False)
            self._chars_left += len(text)
