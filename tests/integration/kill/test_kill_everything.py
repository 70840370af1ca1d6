"""kill -9 of the whole process tree, again and again, while people start runs and decide.

What must hold afterwards: no acknowledged run is lost or stuck, no acknowledged decision is forgotten, and all mails
of one effect key and recipient carry one Message-ID. A mail may come twice (the process can die between the
server's 250 and the journal's entry); those are counted and printed.
"""

import random  # noqa: TID251  (seeded)
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.mail_server import MailServer
from tests.product import Product

KILLS = 10
"""For each way in which events are read."""
SEED = 20261124
ENDS_WITHIN_S = 240.0
STARTERS = 3

WORKFLOWS: dict[str, dict[str, Any]] = {
    "five": {
        "dag": {
            "entrypoint": "t0",
            "tasks": [
                {"name": f"t{i}", "type": "PASS", "depends": f"t{i - 1}" if i else "", "arguments": [{"output": i}]}
                for i in range(5)
            ],
        }
    },
    "mail": {
        "dag": {
            "entrypoint": "before",
            "tasks": [
                {"name": "before", "type": "PASS", "arguments": []},
                {
                    "name": "tell",
                    "type": "NOTIFICATION",
                    "depends": "before",
                    "arguments": [
                        {"recipient": "someone@example.org"},
                        {"payload": {"title": "It happened", "description": "{{ run.input.n }}"}},
                    ],
                },
                {"name": "after", "type": "PASS", "depends": "tell", "arguments": []},
            ],
        }
    },
    "ask": {
        "dag": {
            "entrypoint": "ask",
            "tasks": [
                {
                    "name": "ask",
                    "type": "APPROVAL",
                    "arguments": [
                        {"title": "May it?"},
                        {"body": "{{ run.input.n }}"},
                        {"approvers": {"users": ["judge"]}},
                        {"rule": "ANY"},
                        {"dueIn": "P1D"},
                    ],
                },
                {"name": "yes", "type": "PASS", "depends": "ask.SUCCESS", "endStatus": "APPROVED", "arguments": []},
                {"name": "no", "type": "PASS", "depends": "ask.FAILED_ANY", "endStatus": "REJECTED", "arguments": []},
            ],
        }
    },
}
EXPECTED = {"five": {"SUCCESS"}, "mail": {"SUCCESS"}, "ask": {"APPROVED", "REJECTED"}}


@dataclass
class Load:
    """People at work while the product dies and comes back; everything acknowledged is written down."""

    product: Product
    seed: int
    runs: dict[str, str] = field(default_factory=dict)
    decisions: dict[str, str] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)
    started: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start_runs(self, who: int) -> None:
        chance = random.Random(self.seed + who)  # noqa: S311  (a seeded world, not a secret)
        n = 0
        with self.product.client() as client:
            while not self.over.is_set():
                name = chance.choice(list(WORKFLOWS))
                n += 1
                key = f"starter-{who}-{n}"
                body = {"workflow": name, "input": {"n": f"{key}"}}
                while not self.over.is_set():
                    answer = self.ask(client, "POST", "/runs", json=body, headers={"Idempotency-Key": key})
                    if answer is not None and answer.status_code in {200, 201}:
                        with self.lock:
                            self.runs[answer.json()["guid"]] = name
                        break
                self.over.wait(chance.random() * 0.15)

    def decide(self, name: str, password: str) -> None:
        chance = random.Random(self.seed - 1)  # noqa: S311  (a seeded world, not a secret)
        with self.product.client(name, password) as client:
            while not self.over.is_set():
                inbox = self.ask(client, "GET", "/tasks", params={"status": "OPEN", "limit": 20})
                for item in inbox.json()["items"] if inbox is not None and inbox.status_code == 200 else []:
                    action = chance.choice(["APPROVED", "REJECTED"])
                    answer = self.ask(
                        client, "POST", f"/tasks/{item['guid']}/decide", json={"action": action, "comment": "because"}
                    )
                    if answer is not None and answer.status_code == 200:
                        with self.lock:
                            self.decisions[item["run"]] = action
                self.over.wait(0.1)

    def ask(self, client: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response | None:
        """The answer, or None while nobody is there to give one."""
        try:
            answer = client.request(method, path, **request)
        except httpx.HTTPError:
            self.over.wait(0.05)
            return None
        if answer.status_code not in {200, 201, 202, 404, 409, 500, 502, 503, 504}:
            self.surprises.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        if answer.status_code == 500:
            self.surprises.append(f"{method} {path}: {answer.text[:300]}")
        return answer


def statuses(product: Product, guids: list[str]) -> dict[str, dict[str, Any]]:
    with product.client() as client:
        return {guid: client.get(f"/runs/{guid}").raise_for_status().json() for guid in guids}


def until_all_ended(product: Product, guids: list[str]) -> dict[str, dict[str, Any]]:
    ended: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + ENDS_WITHIN_S
    while len(ended) < len(guids) and time.monotonic() < deadline:
        views = statuses(product, [guid for guid in guids if guid not in ended])
        ended.update({guid: view for guid, view in views.items() if view["status"] != "PENDING"})
        if len(ended) < len(guids):
            time.sleep(0.5)  # noqa: TID251  (polls with a deadline)
    return ended


def prepare(product: Product) -> None:
    with product.client() as client:
        for name, spec in WORKFLOWS.items():
            stored = client.post("/workflows", json={"name": name, "spec": spec}).raise_for_status().json()
            client.post(f"/workflows/{stored['guid']}/publish").raise_for_status()
        client.post(
            "/users",
            json={
                "name": "judge",
                "password": "judge-of-the-tests",
                "email": "judge@example.org",
                "groups": [],
                "roles": ["requester"],
            },
        ).raise_for_status()


def mails_by_effect(mails: list[EmailMessage]) -> dict[tuple[str, str, str], Counter[str]]:
    """Message-IDs by what was to be said to whom: title, the run's own words, address. Each is one effect."""
    effects: dict[tuple[str, str, str], Counter[str]] = {}
    for mail in mails:
        text = mail.get_body(("plain",))
        assert text is not None
        words = re.search(r"starter-\d+-\d+", text.get_content())
        assert words, "a mail that no run asked for"
        key = (str(mail["Subject"]), words[0], str(mail["To"]))
        effects.setdefault(key, Counter())[str(mail["Message-ID"])] += 1
    return effects


@pytest.mark.timeout(900)
@pytest.mark.parametrize("events", ["outbox", "kafka"])
def test_kill_minus_nine_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], events: str) -> None:
    chance = random.Random(SEED)  # noqa: S311  (a seeded world, not a secret)
    with MailServer() as mail_server:
        product = Product(tmp_path, environment={"BLOCKLINE_SMTP_URL": mail_server.url, "BLOCKLINE_EVENTS": events})
        product.start()
        load = Load(product, SEED)
        threads: list[threading.Thread] = []
        try:
            prepare(product)
            threads = [threading.Thread(target=load.start_runs, args=(who,)) for who in range(STARTERS)]
            threads.append(threading.Thread(target=load.decide, args=("judge", "judge-of-the-tests")))
            for thread in threads:
                thread.start()
            for _ in range(KILLS):
                time.sleep(0.2 + chance.random() * 3)  # noqa: TID251  (a random moment is the test)
                product.kill()
                product.start()
            load.over.wait(2)
            load.over.set()
            for thread in threads:
                thread.join(60)
            finisher = Load(product, SEED, runs=load.runs, decisions=load.decisions)
            last = threading.Thread(target=finisher.decide, args=("judge", "judge-of-the-tests"))
            last.start()
            ended = until_all_ended(product, list(load.runs))
            finisher.over.set()
            last.join(60)
            with product.client() as client:
                dead = client.get("/dead-letters").raise_for_status().json()["items"]
        finally:
            load.over.set()
            product.kill()
        effects = mails_by_effect(mail_server.mails())

    assert not load.surprises
    assert not dead
    stuck = sorted(set(load.runs) - set(ended))
    assert not stuck, f"{len(stuck)} of {len(load.runs)} acknowledged runs didn't end"
    assert {
        guid: view["status"] for guid, view in ended.items() if view["status"] not in EXPECTED[load.runs[guid]]
    } == {}
    forgotten = {guid: action for guid, action in load.decisions.items() if ended[guid]["status"] != action}
    assert not forgotten, "an acknowledged decision was forgotten"
    split = {key: ids for key, ids in effects.items() if len(ids) != 1}
    assert not split, "one effect key and recipient, several Message-IDs"
    told = {words for title, words, _ in effects if title == "It happened"}
    mailed = {view["input"]["n"] for guid, view in ended.items() if load.runs[guid] == "mail"}
    assert mailed <= told, "a run ended SUCCESS without its mail"
    mails = sum(sum(ids.values()) for ids in effects.values())
    with capsys.disabled():
        print(
            f"\n{KILLS} kills, {len(load.runs)} runs, {len(load.decisions)} decisions, {len(effects)} mails of which "
            f"{mails - len(effects)} came twice (killed between the server's 250 and the journal)"
        )
    assert len(load.runs) > KILLS
    assert load.decisions
