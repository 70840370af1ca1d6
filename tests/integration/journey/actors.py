"""People at their terminals: the command line as a subprocess, against a product that runs."""

import contextlib
import json  # noqa: TID251  (reads what a program reads)
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from pipeline.core.ids import EffectKey
from pipeline.mail.port import message_id_of
from tests.mail_server import MailServer
from tests.product import Product

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "access-request.json"
WITHIN_S = 30.0
STEPS_MAX = 5
T = TypeVar("T")


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Stage:
    """A product, its mail server, and the people: ``rosa`` asks, ``sam`` decides, ``olaf`` has nothing to do with it,
    ``otto`` is the author.
    """

    product: Product
    mail: MailServer
    published: list[str] = field(default_factory=list)

    def password(self, user: str) -> str:
        return self.product.password if user == "admin" else f"{user}-of-the-tests"

    def environment(self, user: str) -> dict[str, str]:
        return {
            **os.environ,
            "BLOCKLINE_URL": self.product.url,
            "BLOCKLINE_USER": user,
            "BLOCKLINE_PASSWORD": self.password(user),
        }

    def types(self, user: str, *arguments: str, timeout_s: float = 60) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            env=self.environment(user),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def begins(self, user: str, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            env=self.environment(user),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def api(self, user: str = "admin") -> httpx.Client:
        return self.product.client(user, self.password(user))

    def people(self) -> None:
        self.joins("rosa")
        self.joins("sam", "stewards")
        self.joins("olaf")
        self.joins("otto", role="author")

    def joins(self, name: str, *groups: str, role: str = "requester") -> None:
        """Somebody is there from now on, in these groups and no others."""
        user = {"email": f"{name}@example.org", "groups": list(groups), "roles": [role]}
        with self.api() as admin:
            if admin.get(f"/users/{name}").is_success:
                admin.put(f"/users/{name}", json=user).raise_for_status()
            else:
                new = {"name": name, "password": self.password(name), **user}
                admin.post("/users", json=new).raise_for_status()

    def table(self, name: str, *owners: str) -> str:
        """The guid of a table in the catalog, made by an administrator through Atlas' own REST."""
        entity = {
            "typeName": "Table",
            "guid": "-1",
            "attributes": {"name": name, "qualifiedName": f"db/{name}", "ownerUsers": list(owners)},
        }
        with self.api() as admin:
            answer = admin.post(f"{self.product.url}/api/atlas/v2/entity/bulk", json={"entities": [entity]})
        guid: str = answer.raise_for_status().json()["guidAssignments"]["-1"]
        return guid

    def publishes(self, name: str, spec: Any) -> str:
        with self.api("otto") as otto:
            stored = otto.post("/workflows", json={"name": name, "spec": spec}).raise_for_status().json()
            otto.post(f"/workflows/{stored['guid']}/publish").raise_for_status()
        self.published.append(name)
        guid: str = stored["guid"]
        return guid

    def starts(self, user: str, workflow: str, **body: Any) -> str:
        with self.api(user) as client:
            answer = client.post("/runs", json={"workflow": workflow, **body}).raise_for_status()
        guid: str = answer.json()["guid"]
        return guid

    def run(self, guid: str, wait_s: float = 0) -> Any:
        with self.product.client(timeout_s=wait_s + 30) as admin:
            return admin.get(f"/runs/{guid}", params={"wait_s": wait_s}).raise_for_status().json()

    def task_of(self, user: str, run: str) -> str:
        def asked() -> str | None:
            items = self.inbox(user, run)
            return items[0]["guid"] if items else None

        return until(asked, f"{user} is asked about {run}")

    def inbox(self, user: str, run: str) -> list[Any]:
        """What a run asks somebody now."""
        with self.api(user) as client:
            items: list[Any] = client.get("/tasks", params={"run": run}).raise_for_status().json()["items"]
        return items

    def asking_mails(self, address: str, run: str) -> list[Any]:
        """Mails to an address that ask for decisions about a run, the reminders among them."""
        words = f"blockline task list --run {run} "
        found: list[Any] = [mail for mail in self.mail.mails() if str(mail["To"]) == address]
        return [mail for mail in found if words in " ".join(mail.get_body(("plain",)).get_content().split())]

    def mails_to(self, address: str, run: str) -> list[Any]:
        """Mails of one run to one address, told by their Message-ID, which is derived from the effect's key."""
        tasks = statuses(self.run(run))
        ids = {message_id_of(EffectKey(run, task, 0, step), address) for task in tasks for step in range(STEPS_MAX)}
        return [mail for mail in self.mail.mails() if str(mail["Message-ID"]) in ids]


@contextlib.contextmanager
def staged(folder: Path, **environment: str) -> Iterator[Stage]:
    """A product that runs on ``folder``, with its mail server and its people."""
    with MailServer() as mail, Product(folder, environment={"BLOCKLINE_SMTP_URL": mail.url, **environment}) as product:
        stage = Stage(product, mail)
        stage.people()
        yield stage


def statuses(run: Any) -> dict[str, str]:
    return {task["name"]: task["status"] for task in run["dag"]["tasks"]}


def until(ask: Callable[[], T | None], what: str, within_s: float = WITHIN_S) -> T:
    """What ``ask`` says once it says something; asks again and again until then."""
    deadline = time.monotonic() + within_s
    while True:
        found = ask()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.05)  # noqa: TID251  (polls with a deadline)


def row(length: int = 5) -> dict[str, Any]:
    """A spec of so many PASS in a row."""
    tasks: list[dict[str, Any]] = [{"name": "t0", "type": "PASS", "arguments": []}]
    tasks += [{"name": f"t{i}", "type": "PASS", "depends": f"t{i - 1}", "arguments": []} for i in range(1, length)]
    return {"dag": {"entrypoint": "t0", "tasks": tasks}}


def broker_of(product: Product) -> psutil.Process:
    """The embedded broker of a running product."""

    def found() -> psutil.Process | None:
        for child in psutil.Process(product.pid).children(recursive=True):
            if "--listener-url" in child.cmdline():
                return child
        return None

    return until(found, "the broker's process")
