"""Which topics of the local broker may be deleted."""

from pipeline.cdc.offsets import Position
from pipeline.local.broker_topics import TopicRotation


def rotation_over(*, acked: int) -> TopicRotation:
    """``A`` with two messages and its mark, ``acked`` of them acked; ``B`` is current."""
    rotation = TopicRotation(events_max=2)
    rotation.begin("A")
    for offset in range(2):
        rotation.sent(Position("A", 0, offset), 10)
    rotation.go_on("B")
    rotation.ended(Position("A", 0, 2))
    rotation.acked([Position("A", 0, offset) for offset in range(acked)])
    return rotation


def test_a_topic_is_full_by_messages_or_bytes() -> None:
    rotation = TopicRotation(events_max=10, bytes_max=100)
    rotation.begin("A")
    rotation.sent(Position("A", 0, 0), 80)
    assert rotation.is_nearly_full()
    assert not rotation.is_full()
    rotation.sent(Position("A", 0, 1), 20)
    assert rotation.is_full()
    rotation.go_on("B")
    assert not rotation.is_full()
    rotation.sent(Position("A", 0, 2), 100)  # its answer came late: it isn't on B
    assert not rotation.is_full()
    for offset in range(10):
        rotation.sent(Position("B", 0, offset), 1)
    assert rotation.is_full()


def test_it_is_deleted_once_when_all_of_it_is_acked() -> None:
    rotation = rotation_over(acked=1)
    assert rotation.condemned() == []
    rotation.acked([Position("A", 0, 1), Position("A", 0, 1), Position("Z", 0, 0)])
    assert rotation.condemned() == ["A"]
    assert rotation.condemned() == []


def test_the_current_topic_stays() -> None:
    rotation = TopicRotation()
    rotation.begin("A")
    rotation.sent(Position("A", 0, 0), 1)
    rotation.acked([Position("A", 0, 0)])
    assert rotation.condemned() == []


def test_a_topic_that_is_read_stays_and_one_that_is_doomed_is_closed() -> None:
    rotation = rotation_over(acked=2)
    assert rotation.enter("slow", "A")
    assert rotation.condemned() == []
    rotation.leave("slow")
    rotation.leave("slow")
    assert rotation.condemned() == ["A"]
    assert not rotation.enter("late", "A")
    assert rotation.enter("late", "B")


def test_a_deletion_that_failed_is_tried_again() -> None:
    rotation = rotation_over(acked=2)
    assert rotation.condemned() == ["A"]
    rotation.spared("A")
    assert rotation.condemned() == ["A"]


def test_a_new_broker_has_none_of_the_old_topics() -> None:
    rotation = rotation_over(acked=2)
    rotation.begin("C")
    assert rotation.condemned() == []
    assert rotation.enter("any", "A")


def test_numbers_only_grow_even_when_the_clock_does_not() -> None:
    rotation = TopicRotation()
    assert [rotation.next_number(now) for now in (1000, 1000, 5, 2000)] == [1000, 1001, 1002, 2000]


def test_what_comes_late_of_a_broker_that_died_means_nothing() -> None:
    rotation = rotation_over(acked=2)
    assert rotation.condemned() == ["A"]
    rotation.begin("C")
    rotation.ended(Position("A", 0, 2))
    rotation.ended(Position("B", 0, 0))
    rotation.spared("A")
    assert rotation.condemned() == []
