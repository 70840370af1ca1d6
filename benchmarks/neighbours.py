"""What the bad neighbours do, as the text of the folders that a block is."""

from pathlib import Path
from typing import Final

_MANIFEST: Final = """type = "{type}"
title = "{title}"
summary = "A bad neighbour: {title}."
category = "Control"
icon = "alert"
owners = ["benchmarks"]
stability = "experimental"
delivery = "pure"
timeout_seconds = 600
lease_seconds = 5
blocking = {blocking}

[[retry]]
errorEquals = ["Task.Timeout"]
intervalSeconds = 1
maxAttempts = 1
"""
_RUNNER: Final = '''"""A bad neighbour."""

import asyncio
import os
import time

from pydantic import JsonValue

from pipeline.blocks.contract import Arguments, Attempt, Runner, ValueOutput, succeeded


class Nothing(Arguments):
    """None."""


class Neighbour(Runner[Nothing, ValueOutput]):
    """Behaves badly."""

    arguments_type = Nothing
    output_type = ValueOutput

    async def run(self, arguments: Nothing, attempt: Attempt) -> object:
        {body}
'''
BODIES: Final = {
    "CRASHES": ("its server dies of each attempt", "raise SystemExit(1)"),
    "HANGS": ("never answers", "await asyncio.Event().wait()"),
    "BLOCKS": (
        "computes for seconds, declared blocking",
        "time.sleep(5); return succeeded(ValueOutput(output=None))",
    ),
    "FLOODS": ("answers with 700 kB each time", 'return succeeded(ValueOutput("x" * 700_000))'),
    "GARBAGE": ("answers what is no answer", 'return {"status": b"\\\\xff", "output": object()}'),
}
"""By type: what it does, and the statements that do it."""


def install(runners: Path, block_type: str) -> None:
    """Write the folder of one of :data:`BODIES` into ``runners`` (``udfs/runners`` of a copy of the sources)."""
    title, body = BODIES[block_type]
    folder = runners / block_type.lower()
    folder.mkdir()
    blocking = "true" if block_type == "BLOCKS" else "false"
    (folder / "__init__.py").write_text('"""A bad neighbour."""\n')
    (folder / "README.md").write_text(f"# {block_type}\n")
    (folder / "block.toml").write_text(_MANIFEST.format(type=block_type, title=title, blocking=blocking))
    (folder / "runner.py").write_text(_RUNNER.format(body=body))
    (folder / "examples.jsonl").write_text("")
