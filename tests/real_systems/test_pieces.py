"""The systems that the other tests of this folder need are there, and are the real ones."""

import httpx
from confluent_kafka.admin import AdminClient

from tests.real.configuration import PARTITIONS
from tests.real.systems import PIECES, TOPIC, attached


def test_the_real_systems_run() -> None:
    systems = attached()
    assert [piece for piece in PIECES if systems.process(piece) is None] == []
    with systems.client() as atlas:
        version = atlas.get("/api/atlas/admin/version").raise_for_status().json()
    assert version["Version"].startswith("2.1.0")
    topics = AdminClient({"bootstrap.servers": systems.kafka}).list_topics(timeout=10).topics
    assert len(topics[TOPIC].partitions) == PARTITIONS


def test_a_stranger_is_not_let_in() -> None:
    answer = httpx.get(f"{attached().atlas}/api/atlas/v2/types/typedefs/headers", auth=("admin", "wrong"))
    assert answer.status_code == httpx.codes.UNAUTHORIZED
