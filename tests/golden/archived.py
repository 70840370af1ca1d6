"""An archived run whose line on disk is recorded."""

from typing import Final

from pipeline.retention.records import ArchivedRun, AuditLine
from pipeline.store.port import Entity

RUN: Final = Entity(
    type_name="WorkflowRun",
    guid="2f6a6a3e-1111-4222-8333-444455556666",
    qualified_name="blockline/runs/1",
    attributes={"name": "Änderung", "qualifiedName": "blockline/runs/1", "workflowRunWakeAt": 0},
    created_by="blockline",
    updated_by="blockline",
    created_at=1_800_000_000_000,
    updated_at=1_800_000_001_000,
)
ARCHIVED: Final = ArchivedRun(
    guid=RUN.guid,
    qualified_name=RUN.qualified_name,
    status="SUCCESS",
    requester="ann",
    ended_at=1_800_000_001_000,
    archived_at=1_900_000_000_000,
    entities=(RUN,),
    audit=(AuditLine(1_800_000_000_000, "blockline", "ENTITY_CREATE"),),
)
