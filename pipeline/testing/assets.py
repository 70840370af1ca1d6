"""Worlds in which runs change assets: what a run's tasks have added and removed is there, and nothing else."""

from typing import Any, Final

from pipeline.core.statuses import TaskStatus
from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.testing.fake_blocks import OWNERS, SPEAKING
from pipeline.testing.scheduler import at_once
from pipeline.testing.world import Report, World

ASSET_TYPE: Final = "Column"


class AssetWorld(World):
    """See :class:`~pipeline.testing.world.World`. Each run has an asset of its own: two runs may lose each other's
    changes (ADR 18). Each task adds its name to the asset's owners and takes away those of the tasks it waited for. So
    a change that is lost, made twice or made without its task's success shows at the end.
    """

    def new_spec(self, run: str) -> dict[str, Any]:
        """See the base class."""
        spec = super().new_spec(run)
        asset = EntityWrite(type_name=ASSET_TYPE, qualified_name=_asset_of(run), attributes={"name": run})
        guid = at_once(self.store.upsert([asset]))[asset.qualified_name]
        for task in spec["dag"]["tasks"]:
            if task["type"] in SPEAKING:
                task["arguments"] += [{"asset": guid}, {"removes": _waited_for(task)}]
        return spec

    def run(self) -> Report:
        """Let it happen, then check."""
        report = super().run()
        for name in self.people.names:
            self._check(name)
        return report

    def _check(self, name: str) -> None:
        run = at_once(self.store.get_by_name(types.RUN, name))
        asset = at_once(self.store.get_by_name(ASSET_TYPE, _asset_of(name)))
        if run is None or asset is None or run.guid in self.people.tampered or run.guid not in self.checkers.runs:
            return
        tasks = self.checkers.runs[run.guid].body["dag"]["tasks"]
        done = [task for task in tasks if task["type"] in SPEAKING and task["status"] == TaskStatus.SUCCESS]
        removed = {owner for task in done for owner in _waited_for(task)}
        expected = sorted({task["name"] for task in done} - removed)
        found = sorted(asset.attributes.get(OWNERS) or ())
        if found != expected:
            self.violation(f"{name}: the asset's owners are {found}, its tasks make {expected} of it")


def _asset_of(run: str) -> str:
    return f"columns/{run}"


def _waited_for(task: dict[str, Any]) -> list[str]:
    """The tasks that had certainly ended when this one began."""
    depends: str = task.get("depends") or ""
    return [] if "||" in depends or not depends else [each.partition(".")[0] for each in depends.split(" && ")]
