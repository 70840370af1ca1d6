"""Everything the API is made of, in one value: ports handed in, nothing reached for."""

from collections.abc import Callable
from dataclasses import dataclass, field

from api.auth import Authenticator
from api.hub import Hub
from api.locks import Locks
from api.ports import ArchivedRuns, Audit, Catalog, Mails, Metrics, Readiness, Users
from api.startables import Startables
from pipeline.core.clock import Clock
from pipeline.directory.port import Directory
from pipeline.machine.opened import OpenedRuns
from pipeline.messages.seal import Seal
from pipeline.spec.expressions import Evaluator
from pipeline.store.port import EntityStore
from pipeline.telemetry.traces_hops import ApiTraces


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers use. ``new_id`` draws an identity that nobody can guess (32 hex digits).

    ``mails`` is None where a mail server is configured, ``archived`` where runs aren't archived, ``metrics`` where this
    process is all there is, ``traces`` where there is no tracing.
    """

    store: EntityStore
    seal: Seal
    evaluator: Evaluator
    opened: OpenedRuns
    catalog: Catalog
    users: Users
    directory: Directory
    authenticator: Authenticator
    hub: Hub
    clock: Clock
    audit: Audit
    ready: Readiness
    new_id: Callable[[], str]
    mails: Mails | None = None
    archived: ArchivedRuns | None = None
    metrics: Metrics | None = None
    traces: ApiTraces | None = None
    locks: Locks = field(default_factory=Locks)
    startables: Startables = field(default_factory=Startables)
