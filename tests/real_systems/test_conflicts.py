"""Others write the engine's own entities at the same time: Atlas answers 500 to one of the two, and nothing is lost."""

import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import pytest

from tests.at_work import Load, check, dead_letters, prepare, until_all_ended
from tests.product import Product
from tests.real.systems import RealSystems

CONFLICTS = 200
"""Requests that Atlas refuses for another's lock, those of the rivals and those of the engine together."""
RIVALS = 6
RUNS_AT_ONCE = 12
WITHIN_S = 150.0
ENDS_WITHIN_S = 120.0


@dataclass
class Rivals:
    """They write an attribute that the engine doesn't care for, of all runs that live."""

    systems: RealSystems
    answers: Counter[int] = field(default_factory=Counter)
    runs: dict[str, dict[str, str]] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self) -> None:
        """Until it is over."""
        with self.systems.client() as atlas:
            while not self.over.is_set():
                with self.lock:
                    there = dict(self.runs)
                label = {"displayName": secrets.token_hex(4)}
                bodies = [
                    {"typeName": "WorkflowRun", "guid": guid, "attributes": {**names, **label}}
                    for guid, names in there.items()
                ]
                if not bodies:
                    self.over.wait(0.05)
                    continue
                status = atlas.post("/api/atlas/v2/entity/bulk", json={"entities": bodies}).status_code
                with self.lock:
                    self.answers[status] += 1

    def at(self, guid: str) -> None:
        """A run to write."""
        with self.systems.client() as atlas:
            entity = atlas.get(f"/api/atlas/v2/entity/guid/{guid}").raise_for_status().json()["entity"]
        with self.lock:
            self.runs[guid] = {name: entity["attributes"][name] for name in ("qualifiedName", "name")}

    def leave(self, guids: list[str]) -> None:
        """These have ended."""
        with self.lock:
            for guid in guids:
                self.runs.pop(guid, None)


def tried_again(product: Product) -> int:
    """How often the sink had to try again."""
    metrics = httpx.get(f"{product.url}/metrics").raise_for_status().text
    found = re.findall(r'^blockline_plane_retries_total\{[^}]*"atlas-0"[^}]*\} ([0-9.]+)', metrics, re.MULTILINE)
    return int(sum(map(float, found)))


def ended(client: httpx.Client, guids: list[str]) -> list[str]:
    """Those that are known to have ended; a read may meet a conflict as well, and its caller is asked to come again."""
    answers = {guid: client.get(f"/runs/{guid}") for guid in guids}
    return [
        guid
        for guid, answer in answers.items()
        if answer.status_code == httpx.codes.OK and answer.json()["status"] != "PENDING"
    ]


@pytest.mark.timeout(400)
def test_conflicts_lose_nothing(
    product: Callable[..., Product], systems: RealSystems, capsys: pytest.CaptureFixture[str]
) -> None:
    with product() as running:
        prepare(running)
        load = Load(running, 0)
        rivals = Rivals(systems)
        threads = [threading.Thread(target=rivals.write) for _ in range(RIVALS)]
        for thread in threads:
            thread.start()
        try:
            deadline = time.monotonic() + WITHIN_S
            with running.client(timeout_s=60) as client:
                while rivals.answers[500] < CONFLICTS and time.monotonic() < deadline:
                    rivals.leave(ended(client, list(rivals.runs)))
                    while len(rivals.runs) < RUNS_AT_ONCE:
                        answer = client.post("/runs", json={"workflow": "five"})
                        if answer.status_code == httpx.codes.CREATED:  # 503: asks its caller to try again
                            guid = answer.json()["guid"]
                            load.runs[guid] = "five"
                            rivals.at(guid)
        finally:
            rivals.over.set()
            for thread in threads:
                thread.join(60)
        ends = until_all_ended(running, list(load.runs), ENDS_WITHIN_S)
        letters = dead_letters(load)
        again = tried_again(running)
    with capsys.disabled():
        print(f"\n{dict(rivals.answers)} answers to the rivals, {again} messages tried again, {len(load.runs)} runs")
    check(load, ends)
    assert letters == []
    assert rivals.answers[500] >= CONFLICTS
    assert again > 0
