"""From a block's manifest to its vertex."""

from pipeline.blocks.manifest import parse_manifest
from pipeline.topology.blocks import runner_blocks
from pipeline.topology.model import Access, RunnerBlock

MANIFEST = """
type = "MAIL"
title = "Mail"
summary = "Mails."
category = "People"
icon = "mail"
owners = ["blockline"]
stability = "stable"
delivery = "once"
timeout_seconds = 10
capabilities = ["mail"]
replicas = { min = 0, max = 3 }
"""


def test_replicas_and_secrets_come_from_the_manifest() -> None:
    block = parse_manifest(MANIFEST, "mail")
    assert runner_blocks([block]) == (
        RunnerBlock("MAIL", replicas_min=0, replicas_max=3, access=(Access.READER, Access.MAIL)),
    )
