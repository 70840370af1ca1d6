"""Ended runs leave a real Atlas for the archive, whatever kills the process; the cluster's job does the same."""

import json  # noqa: TID251  (what a command prints for programs)
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cli.data_folder import DataFolder
from cli.manifests import manifest_of
from pipeline.blocks.registry import Registry
from pipeline.retention.archive import Archive
from pipeline.topology.values import Values
from tests.integration.journey.actors import Stage
from tests.mail_server import MailServer
from tests.product import Product
from tests.real.configuration import PASSWORD, USER
from tests.real.systems import RealSystems

ROOT = Path(__file__).parents[2]
PASS_S = 240.0
WAIT_S = 60.0
LONG = "much " * 2_000
"""Over 4 KiB: an output of its own in the store."""
KINDS = {"WorkflowRun", "Task", "WorkflowRunCommand", "WorkflowRunOutput"}
SPEC = {
    "dag": {
        "entrypoint": "much",
        "tasks": [
            {"name": "much", "type": "PASS", "arguments": [{"output": "{{ run.input.text }}"}]},
            {
                "name": "ask",
                "type": "APPROVAL",
                "depends": "much.SUCCESS",
                "arguments": [
                    {"title": "May it?"},
                    {"approvers": {"users": ["sam"]}},
                    {"rule": "ANY"},
                    {"dueIn": "P1D"},
                ],
            },
        ],
    }
}


@dataclass
class Ended:
    """A run that has ended, on a product that goes on."""

    stage: Stage
    systems: RealSystems
    guid: str
    belongings: set[str]
    """Guids of everything of it in Atlas."""

    @property
    def data(self) -> Path:
        return self.stage.product.folder / "data"

    def sweep(self, step: str) -> int:
        """A pass of retention a year from now, killed at that step; its exit code."""
        command = [sys.executable, "-m", "tests.real_systems.sweeper", str(self.data), self.systems.atlas, step]
        return subprocess.run(command, cwd=ROOT, timeout=PASS_S, check=False).returncode

    def statuses(self) -> set[int]:
        """What Atlas answers for everything of it."""
        with self.systems.client() as atlas:
            return {atlas.get(f"/api/atlas/v2/entity/guid/{guid}").status_code for guid in self.belongings}

    def job(self) -> "subprocess.CompletedProcess[str]":
        """The container of the rendered CronJob, with its configuration and its secrets."""
        values = Values.model_validate(
            {"atlas": {"url": self.systems.atlas}, "kafka": {"address": self.systems.kafka}, "retention": {"days": 1}}
        )
        documents = {
            each["kind"]: each for each in yaml.safe_load_all(manifest_of(Registry.load("udfs.runners"), values))
        }
        (container,) = documents["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        given = {
            "blockline-engine": {"BLOCKLINE_ENGINE_KEY": DataFolder(self.data).engine_key().hex()},
            "blockline-atlas-purger": {"BLOCKLINE_ATLAS_USER": USER, "BLOCKLINE_ATLAS_PASSWORD": PASSWORD},
        }
        environment = dict(documents["ConfigMap"]["data"])
        for source in container["envFrom"]:
            environment |= given.get(source.get("secretRef", {}).get("name"), {})
        environment |= {each["name"]: each["value"] for each in container["env"]}
        (mount,) = container["volumeMounts"]
        assert environment["BLOCKLINE_ARCHIVE_DIR"] == mount["mountPath"]
        environment |= {"BLOCKLINE_ARCHIVE_DIR": str(self.data / "archive")}  # where the volume is on this machine
        environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        command = [sys.executable, *container["command"][1:]]
        folder = self.stage.product.folder / "job"
        folder.mkdir(exist_ok=True)
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PASS_S, check=False
        )

    def check_archived(self) -> None:
        """All of it can be read, by the command on the machine and by the API's answer."""
        said = subprocess.run(
            [sys.executable, "-m", "cli", "archive", "show", self.guid, "--data", str(self.data), "--json"],
            capture_output=True,
            text=True,
            timeout=PASS_S,
            check=True,
        )
        shown: dict[str, Any] = json.loads(said.stdout)
        assert {entity["guid"] for entity in shown["entities"]} == self.belongings
        assert {entity["type"] for entity in shown["entities"]} == KINDS
        assert shown["status"] == "SUCCESS"
        assert len(shown["audit"]) > 1
        (output,) = (entity for entity in shown["entities"] if entity["type"] == "WorkflowRunOutput")
        assert any(LONG in str(value) for value in output["attributes"].values())
        with self.stage.api() as admin:
            gone = admin.get(f"/runs/{self.guid}")
        assert gone.status_code == httpx.codes.GONE
        assert "archive" in gone.json()["detail"]


def belongings(systems: RealSystems, guid: str) -> set[str]:
    """Guids of a run and of what is named by it, asked of Atlas itself."""
    found = {guid}
    with systems.client() as atlas:
        for kind in KINDS - {"WorkflowRun"}:
            criterion = {"attributeName": "qualifiedName", "operator": "startsWith", "attributeValue": f"{guid}/"}
            body = {"typeName": kind, "entityFilters": {"condition": "AND", "criterion": [criterion]}, "limit": 50}
            answer = atlas.post("/api/atlas/v2/search/basic", json=body).raise_for_status().json()
            of_kind = {entity["guid"] for entity in answer.get("entities") or ()}
            assert of_kind, kind
            found |= of_kind
    return found


def begins(stage: Stage, systems: RealSystems, workflow: str) -> Ended:
    """A run that was asked something and has ended."""
    with stage.api() as admin:
        started = admin.post("/runs", json={"workflow": workflow, "input": {"text": LONG}})
        guid = started.raise_for_status().json()["guid"]
    task = stage.task_of("sam", guid)
    assert stage.types("sam", "task", "decide", task, "APPROVED").code == 0
    assert stage.run(guid, wait_s=WAIT_S)["status"] == "SUCCESS"
    return Ended(stage, systems, guid, belongings(systems, guid))


@pytest.mark.timeout(900)
def test_ended_runs_are_archived_and_purged_whatever_kills_it(
    product: Callable[..., Product], systems: RealSystems
) -> None:
    with MailServer() as mail, product(BLOCKLINE_SMTP_URL=mail.url, BLOCKLINE_RETENTION_DAYS="0") as running:
        stage, workflow = Stage(running, mail), f"much-{secrets.token_hex(4)}"
        stage.people()
        stage.publishes(workflow, SPEC)
        all_ended = []
        for step, answers in (("before-delete", {200}), ("before-purge", {200}), ("after-purge", {404})):
            ended = begins(stage, systems, workflow)
            assert ended.sweep(step) == -signal.SIGKILL
            assert ended.statuses() == answers, step
            archive = Archive(ended.data / "archive")
            assert ended.belongings <= set(archive.being_purged())
            done = ended.job()
            assert (done.returncode, done.stderr) == (0, "")
            assert ended.statuses() == {404}, step
            assert archive.being_purged() == []
            ended.check_archived()
            all_ended.append(ended)
        assert ended.sweep("never") == 0
        for ended in all_ended:
            ended.check_archived()
