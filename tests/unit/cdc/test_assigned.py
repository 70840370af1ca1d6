"""Where a reader without a group begins, when the broker answers late or in part."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline.cdc.assigned import AssignedReader
from pipeline.cdc.buffer import Received
from pipeline.cdc.offsets import Position


class Kafka:
    """The part of a consumer that looks for places: ``T`` with three partitions, ten messages each."""

    def __init__(self) -> None:
        self.answers_left = 100

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={0: None, 1: None, 2: None})})

    def get_watermark_offsets(
        self, place: TopicPartition, timeout: float = 0, *, cached: bool = False
    ) -> tuple[int, int] | None:
        if cached:
            return 0, 12
        self.answers_left -= 1
        if self.answers_left == 0:
            return None
        if self.answers_left < 0:
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        return 0, 10


def places(reader: AssignedReader, kafka: Any) -> list[tuple[int, int]]:
    return [(place.partition, place.offset) for place in reader._places(kafka, "T")]


@pytest.mark.parametrize("answers", [0, 1, 2, 3])
def test_a_live_start_that_fails_half_way_is_live_the_next_time(answers: int) -> None:
    kafka, reader = Kafka(), AssignedReader("nowhere:1", name="cdc", start="end", topic="T")
    kafka.answers_left = answers
    with pytest.raises(KafkaException):
        places(reader, kafka)
    kafka.answers_left = 100
    assert places(reader, kafka) == [(0, 10), (1, 10), (2, 10)]


def test_every_partition_goes_on_where_it_was() -> None:
    kafka: Any = Kafka()
    reader = AssignedReader("nowhere:1", name="cdc", start="end", topic="T")
    places(reader, kafka)
    reader._note(kafka, [Received(Position("T", 2, 10), b"", 0), Received(Position("T", 0, 11), b"", 0)])
    assert places(reader, kafka) == [(0, 12), (1, 10), (2, 11)]
    assert reader.partitions() == [0, 1, 2]
