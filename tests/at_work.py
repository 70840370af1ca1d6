"""People at work while something dies under them: everything that was acknowledged is written down and checked."""

import random  # noqa: TID251  (seeded)
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import httpx

from tests.product import Product

JUDGE = "judge"
JUDGES_PASSWORD = "judge-of-the-tests"
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
ENDS = {"SUCCESS", "FAILURE", "TIMED_OUT", "EXPIRED", "SKIPPED", "OMITTED", "CANCELLED"}
EXPECTED = {"five": {"SUCCESS"}, "mail": {"SUCCESS"}, "ask": {"APPROVED", "REJECTED"}}


@dataclass
class Load:
    """People at work while the product dies and comes back; everything acknowledged is written down."""

    product: Product
    seed: int
    world: str = "starter"
    """Begins the names under which runs are started: another one where the Atlas has seen this world before."""
    pause_s: float = 0.15
    """Each starter rests up to that long between two runs."""
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
                    answer = self.ask(
                        client, "POST", "/runs", json=body, headers={"Idempotency-Key": f"{self.world}-{key}"}
                    )
                    if answer is not None and answer.status_code in {200, 201}:
                        with self.lock:
                            self.runs[answer.json()["guid"]] = name
                        break
                self.over.wait(chance.random() * self.pause_s)

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


def prepare(product: Product) -> None:
    """The workflows, and who decides."""
    with product.client() as client:
        for name, spec in WORKFLOWS.items():
            stored = client.post("/workflows", json={"name": name, "spec": spec})
            if stored.status_code != httpx.codes.CONFLICT:  # an Atlas that has been worked with before
                guid = stored.raise_for_status().json()["guid"]
                client.post(f"/workflows/{guid}/publish").raise_for_status()
        judge = {
            "name": JUDGE,
            "password": JUDGES_PASSWORD,
            "email": "judge@example.org",
            "groups": [],
            "roles": ["requester"],
        }
        client.post("/users", json=judge).raise_for_status()


def work(load: Load, disturb: Callable[[], None]) -> None:
    """People work while ``disturb`` runs, and stop when it is over."""
    with _busy(load, [threading.Thread(target=load.start_runs, args=(who,)) for who in range(STARTERS)]):
        disturb()


def finish(load: Load, within_s: float) -> dict[str, dict[str, Any]]:
    """Runs that ended in time, while what is asked is still decided; no run is begun any more."""
    rest = Load(load.product, load.seed, runs=load.runs, decisions=load.decisions, surprises=load.surprises)
    with _busy(rest, []):
        return until_all_ended(load.product, list(load.runs), within_s)


@contextmanager
def _busy(load: Load, starters: list[threading.Thread]) -> Iterator[None]:
    threads = [*starters, threading.Thread(target=load.decide, args=(JUDGE, JUDGES_PASSWORD))]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        load.over.set()
        for thread in threads:
            thread.join(60)


def until_all_ended(product: Product, guids: list[str], within_s: float) -> dict[str, dict[str, Any]]:
    """The views of those that have ended when all have, or the time is up."""
    ended: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + within_s
    with product.client() as client:
        while len(ended) < len(guids) and time.monotonic() < deadline:
            for guid in guids:
                if guid not in ended:
                    view = client.get(f"/runs/{guid}").raise_for_status().json()
                    if view["status"] != "PENDING":
                        ended[guid] = view
            if len(ended) < len(guids):
                time.sleep(0.5)  # noqa: TID251  (polls with a deadline)
    return ended


def dead_letters(load: Load) -> list[dict[str, Any]]:
    """Those of this load's runs; a topic may hold others' garbage."""
    with load.product.client() as client:
        letters = client.get("/dead-letters").raise_for_status().json()["items"]
    return [letter for letter in letters if letter["run"] in load.runs]


def check(load: Load, ended: dict[str, dict[str, Any]]) -> None:
    """Every acknowledged run ended as it should, and every acknowledged decision counts."""
    assert load.surprises == []
    stuck = sorted(set(load.runs) - set(ended))
    assert not stuck, f"{len(stuck)} of {len(load.runs)} acknowledged runs didn't end: {stuck[:5]}"
    assert {
        guid: view["status"] for guid, view in ended.items() if view["status"] not in EXPECTED[load.runs[guid]]
    } == {}
    forgotten = {guid: action for guid, action in load.decisions.items() if ended[guid]["status"] != action}
    assert not forgotten, "an acknowledged decision was forgotten"
    for view in ended.values():
        open_tasks = [task["name"] for task in view["dag"]["tasks"] if task["status"] not in ENDS]
        assert not open_tasks, f"{view['guid']} has ended, its tasks {open_tasks} haven't"


def check_mails(load: Load, ended: dict[str, dict[str, Any]], mails: list[EmailMessage]) -> tuple[int, int]:
    """All mails of one effect carry one Message-ID, and no run ended SUCCESS without its mail; how many effects, and
    how many mails came twice (killed between the server's 250 and the journal).
    """
    effects = _mails_by_effect(mails)
    split = {key: ids for key, ids in effects.items() if len(ids) != 1}
    assert not split, "one effect key and recipient, several Message-IDs"
    told = {words for title, words, _ in effects if title == "It happened"}
    mailed = {view["input"]["n"] for guid, view in ended.items() if load.runs[guid] == "mail"}
    assert mailed <= told, "a run ended SUCCESS without its mail"
    return len(effects), sum(sum(ids.values()) for ids in effects.values()) - len(effects)


def _mails_by_effect(mails: list[EmailMessage]) -> dict[tuple[str, str, str], Counter[str]]:
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
