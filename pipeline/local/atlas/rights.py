"""Who may write what: rule 11 of the engine's design, for the embedded Atlas.

The engine and administrators write everything. Of the engine's types, a requester may create a run that asks for
itself, and a recipient may write the decision on their own open inbox item. Everything else in the catalog is the
authors'. Who may read: see sight.py.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from pipeline.core.ids import GROUP_PREFIX
from pipeline.core.limits import INPUT_BYTES_MAX
from pipeline.core.statuses import ItemStatus
from pipeline.directory.port import Person
from pipeline.local.atlas.errors import AtlasError, Code
from pipeline.store import types

RUN_ASKED: Final = frozenset(
    {"name", "qualifiedName", types.RUN_WORKFLOW_GUID, types.RUN_ON_ASSET_GUID, types.RUN_REQUEST}
)
"""What a requester may set on a run they create."""
DECISION: Final = frozenset({types.ITEM_ACTION, types.ITEM_COMMENT})
_GUID_CHARS_MAX: Final = 200
_REQUEST_BYTES_MAX: Final = INPUT_BYTES_MAX + 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. The engine's own account counts as an administrator."""

    name: str
    is_author: bool = False
    is_admin: bool = False
    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, person: Person) -> "Caller":
        """A user; each role includes the one before."""
        is_admin = "admin" in person.roles
        return cls(person.name, is_admin or "author" in person.roles, is_admin, person.groups)

    @property
    def asked_as(self) -> tuple[str, ...]:
        """Under which names an inbox item asks them: their own, and those of groups that are asked as a whole."""
        return (self.name, *(f"{GROUP_PREFIX}{group}" for group in self.groups))

    def must_administer(self, what: str) -> None:
        """Raises AtlasError 403 unless they are an administrator."""
        if not self.is_admin:
            raise self._refusal(what, "only administrators may")

    def may_create(self, type_name: str, given: Mapping[str, Any]) -> None:
        """Raises AtlasError 403 unless they may create an entity with what was given."""
        if self.is_admin:
            return
        what = f"create entity: type={type_name}"
        if type_name == types.RUN:
            self._ask_for_run(what, given)
        elif type_name in types.ENGINE_TYPES:
            raise self._refusal(what, "it is the engine's; use the API of Blockline")
        elif not self.is_author:
            raise self._refusal(what, "only authors and administrators may")

    def may_update(self, type_name: str, before: Mapping[str, Any], changed: Collection[str]) -> None:
        """Raises AtlasError 403 unless they may change these attributes of an entity that was like ``before``."""
        if self.is_admin or not changed:
            return
        what = f"update entity: type={type_name}"
        if type_name == types.ITEM:
            self._decide(what, before, changed)
        elif type_name in types.ENGINE_TYPES:
            raise self._refusal(what, "it is the engine's; use the API of Blockline")
        elif not self.is_author:
            raise self._refusal(what, "only authors and administrators may")

    def may_delete(self, type_name: str) -> None:
        """Raises AtlasError 403 unless they may delete an entity of that type."""
        if not self.is_admin and (type_name in types.ENGINE_TYPES or not self.is_author):
            raise self._refusal(f"delete entity: type={type_name}", "it isn't theirs")

    def _ask_for_run(self, what: str, given: Mapping[str, Any]) -> None:
        foreign = sorted(given.keys() - RUN_ASKED)
        if foreign:
            raise self._refusal(what, f"{', '.join(foreign)} can't be set on a run one asks for")
        for name in (types.RUN_WORKFLOW_GUID, types.RUN_ON_ASSET_GUID):
            if not _is_guid_or_none(given.get(name)):
                raise self._refusal(what, f"{name} is a guid of at most {_GUID_CHARS_MAX} characters")
        request = given.get(types.RUN_REQUEST)
        if request is not None and not _is_plain_input(request):
            raise self._refusal(what, f'{types.RUN_REQUEST} may hold {{"input": {{…}}}} and nothing else')

    def _decide(self, what: str, before: Mapping[str, Any], changed: Collection[str]) -> None:
        if before.get(types.ITEM_RECIPIENT) not in self.asked_as:
            raise self._refusal(what, "only its recipient may decide")
        if before.get(types.ITEM_STATUS) != ItemStatus.OPEN:
            raise self._refusal(what, "it isn't open any more")
        foreign = sorted(set(changed) - DECISION)
        if foreign:
            raise self._refusal(what, f"{', '.join(foreign)} isn't part of a decision")

    def _refusal(self, what: str, why: str) -> AtlasError:
        return AtlasError(Code.FORBIDDEN, f"{self.name} is not authorized to perform {what}: {why}.")


def _is_guid_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= _GUID_CHARS_MAX)


def _is_plain_input(text: Any) -> bool:
    if not isinstance(text, str) or len(text) > _REQUEST_BYTES_MAX:
        return False
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and value.keys() <= {"input"} and isinstance(value.get("input", {}), dict)
