"""``blockline up --isolated``: people work, vertices are killed one by one at random, and the whole of it at once."""

import random  # noqa: TID251  (seeded)
import re
import time
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.at_work import Load, check, check_mails, dead_letters, finish, prepare, work
from tests.integration.journey.actors import EXAMPLE, staged, statuses, until
from tests.mail_server import MailServer
from tests.product import Product

pytestmark = pytest.mark.timeout(900)

VERTICES = {
    *("sources.timer", "udfs.orchestrator", "sinks.atlas", "sinks.dead_letter"),
    *("udfs.runners APPROVAL", "udfs.runners NOTIFICATION", "udfs.runners PASS", "udfs.runners HTTP"),
    "udfs.runners METADATA",
}
KILLS = 2
SEED = 20261127
ENDS_WITHIN_S = 300.0


def vertices(product: Product) -> dict[int, str]:
    """The processes of vertices, by their ids: what each was told to run."""
    found = {}
    for child in psutil.Process(product.pid).children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.NoSuchProcess:
            continue
        if "-m" in words:
            found[child.pid] = " ".join(words[words.index("-m") + 1 :])
    return found


def test_the_journey_with_every_vertex_its_own_process(tmp_path: Path) -> None:
    with staged(tmp_path, BLOCKLINE_ISOLATED="1") as stage:
        assert set(vertices(stage.product).values()) == VERTICES
        for pid in vertices(stage.product):
            process = psutil.Process(pid)
            key = process.environ().get("BLOCKLINE_ENGINE_KEY", "none")
            password = process.environ().get("BLOCKLINE_PASSWORD", "none")
            assert not {key, password} & set(" ".join(process.cmdline()).split()), "a secret is for all to see"
            is_runner = "udfs.runners" in process.cmdline()
            assert not (is_runner and key != "none"), "a runner has no business with the engine's key"
        assert stage.types("otto", "workflow", "publish", str(EXAMPLE)).code == 0
        asset = stage.table("orders", "hans")
        started = stage.types("rosa", "run", "start", "access-request", "--asset", asset, "--comment", "for the report")
        run = started.out.strip()
        task = stage.task_of("sam", run)
        [asked] = until(lambda: stage.mails_to("sam@example.org", run), "sam's mail")
        assert "orders" in str(asked["Subject"])
        decided = stage.types("sam", "task", "decide", task, "approved", "--comment", "fine")
        assert (decided.code, decided.out) == (0, "decided: APPROVED\n"), decided.err
        ended = stage.run(run, wait_s=30)
        assert ended["status"] == "APPROVED"
        assert statuses(ended)["notify-approved"] == "SUCCESS"
        assert len(stage.mails_to("rosa@example.org", run)) == 1
        tells_of_all(stage.product)
        mine = list(vertices(stage.product))
        assert stage.product.stop() == 0
        assert not [pid for pid in mine if psutil.pid_exists(pid)]


def tells_of_all(product: Product) -> None:
    """At the port of the whole are the numbers of each process, told apart, each family once."""
    text = httpx.get(f"{product.url}/metrics").raise_for_status().text
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    samples = {
        (each.name, tuple(sorted(each.labels.items()))): each.value for family in families for each in family.samples
    }
    asked = [labels for (name, labels), value in samples.items() if name == "blockline_process_answers" and value]
    # Each vertex, and the sink's fallback.
    assert len(asked) == len(VERTICES) + 1
    approved = (("process", "atlas-0"), ("shard", "0"), ("status", "APPROVED"))
    assert samples["blockline_runs_ended_total", approved] == 1
    waiting = (("outcome", "WAITING"), ("process", "runner-approval"), ("type", "APPROVAL"))
    assert samples["blockline_attempts_total", waiting] > 0
    assert samples["blockline_handling_seconds_count", (("process", "orchestrator"), ("vertex", "orchestrator"))] > 0
    assert samples["process_resident_memory_bytes", ()] > 0
    assert samples["process_resident_memory_bytes", (("process", "runner-http"),)] > 0
    plane = [labels for name, labels in samples if name == "blockline_plane_is_up"]
    assert {len(labels) for labels in plane} == {1}, "what the parent counts has no process"


def test_killed_as_a_whole_it_leaves_no_process_behind(tmp_path: Path) -> None:
    product = Product(tmp_path, arguments=("--isolated",))
    product.start()
    mine = [psutil.Process(pid) for pid in vertices(product)]
    product.kill()
    assert len(mine) >= len(VERTICES)
    until(lambda: not any(map(is_alive, mine)), "the end of all vertices")


def is_alive(process: psutil.Process) -> bool:
    """A zombie waits for its new parent only."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def of_vertex(product: Product, name: str) -> list[int]:
    return [pid for pid, told in vertices(product).items() if told == name]


def kill_at_random(product: Product, chance: random.Random) -> list[str]:
    """Each vertex :data:`KILLS` times, in a random order at random moments; what was killed."""
    killed = []
    order = [name for name in sorted(VERTICES) for _ in range(KILLS)]
    chance.shuffle(order)
    for name in order:
        time.sleep(chance.random() * 2)  # noqa: TID251  (a random moment is the test)
        alive = until(partial(of_vertex, product, name), name, ENDS_WITHIN_S)
        psutil.Process(chance.choice(alive)).kill()
        killed.append(name)
    return killed


def test_vertices_killed_at_random_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(SEED)  # noqa: S311  (a seeded world, not a secret)
    killed: list[str] = []
    with MailServer() as mail_server:
        environment = {"BLOCKLINE_SMTP_URL": mail_server.url, "BLOCKLINE_SHARDS": "2"}
        product = Product(tmp_path, environment=environment, arguments=("--isolated",))
        product.start()
        load = Load(product, SEED, pause_s=1.0)
        try:
            prepare(product)
            work(load, lambda: killed.extend(kill_at_random(product, chance)))
            ended = finish(load, ENDS_WITHIN_S)
            dead = dead_letters(load)
            until(lambda: set(vertices(product).values()) >= VERTICES, "every vertex is back")
            restarts = len(re.findall("starts again in", product.tail(10_000_000)))
        finally:
            product.kill()
        mails = mail_server.mails()
    assert not dead
    check(load, ended)
    effects, twice = check_mails(load, ended, mails)
    assert restarts >= len(killed), "a vertex wasn't started again"
    with capsys.disabled():
        print(
            f"\n{len(killed)} vertices killed, {len(load.runs)} runs, {len(load.decisions)} decisions, {effects} mails "
            f"of which {twice} came twice"
        )
    assert load.decisions
