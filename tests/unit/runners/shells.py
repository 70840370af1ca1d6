"""Real runners behind the shell, with people and a mail server that a test scripts."""

import asyncio
from typing import Any

from pipeline.blocks.registry import Registry
from pipeline.blocks.shell import RunnerShell
from pipeline.mail.memory import MemoryMailer
from pipeline.messages.envelopes import Dispatch, Requester, Result
from pipeline.testing.block_suite import ExampleClock, ExampleDirectory

REGISTRY = Registry.load("udfs.runners")
PEOPLE: dict[str, Any] = {
    "users": {"ana": "ana@example.com", "bo": "bo@example.com", "cy": None, "requester": "r@example.com"},
    "groups": {"stewards": ["bo", "ana", "requester"], "empty": [], "silent": ["cy"]},
}


class World:
    """One runner of a type; ``mailer`` can be sent away and brought back."""

    def __init__(self, block_type: str, people: dict[str, Any] | None = None, *, public_url: str = "") -> None:
        self.type = block_type
        self.mailer = MemoryMailer()
        ports = {
            "directory": ExampleDirectory(PEOPLE if people is None else people),
            "mailer": self.mailer,
            "public_url": public_url,
        }
        self.shell = RunnerShell(REGISTRY.create(block_type, ports), REGISTRY.manifest(block_type), ExampleClock())

    def attempt(self, arguments: dict[str, Any], **changes: Any) -> Result:
        body: dict[str, Any] = {
            "run_guid": "g",
            "run_name": "n",
            "task": "t",
            "type": self.type,
            "arguments": arguments,
            "requester": Requester(name="requester", email="r@example.com"),
            "dispatched_at": 1_795_439_555_000,
            "valid_until": 1_795_439_655_000,
            "shard": 0,
        }
        return self.run(Dispatch(**{**body, **changes}))

    def run(self, dispatch: Dispatch) -> Result:
        return asyncio.run(self.shell.attempt(dispatch))

    def told(self) -> list[str]:
        return [mail.recipient for mail in self.mailer.mails]
