"""Makes, lists and deletes topics; each call with a client of its own, since they are rare and a client has threads."""

import asyncio
import logging
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.cdc.producer import BrokerUnavailableError

_TIMEOUT_S: Final = 10.0
_LOG: Final = logging.getLogger(__name__)


class TopicAdmin:
    """Topics of one broker. Every method may be called again."""

    def __init__(self, bootstrap: str) -> None:
        """``bootstrap``: ``host:port``, several with commas."""
        self._bootstrap = bootstrap

    async def create(self, topic: str) -> None:
        """Make a topic of one partition; no error when it exists.

        Raises:
            BrokerUnavailableError: the broker didn't do it in time.
        """
        await asyncio.to_thread(self._create, topic)

    async def delete(self, topic: str) -> None:
        """Delete a topic; no error when it doesn't exist.

        Nobody may still fetch from it: librdkafka 2.16.0 looks up the unknown topic's name, which is NULL in the
        answer to a look-up by topic id, and the process ends with a segmentation fault.

        Raises:
            BrokerUnavailableError: the broker didn't do it in time.
        """
        await asyncio.to_thread(self._delete, topic)

    async def names(self) -> set[str]:
        """Names of all topics.

        Raises:
            BrokerUnavailableError: the broker didn't answer in time.
        """
        return await asyncio.to_thread(self._names)

    def _create(self, topic: str) -> None:
        request = NewTopic(topic, num_partitions=1, replication_factor=1)
        client = self._client()  # held until the answer: without it nobody would answer
        future = client.create_topics([request], request_timeout=_TIMEOUT_S)[topic]
        self._wait(future, KafkaError.TOPIC_ALREADY_EXISTS)

    def _delete(self, topic: str) -> None:
        client = self._client()
        future = client.delete_topics([topic], request_timeout=_TIMEOUT_S)[topic]
        self._wait(future, KafkaError.UNKNOWN_TOPIC_OR_PART)

    def _names(self) -> set[str]:
        try:
            return set(self._client().list_topics(timeout=_TIMEOUT_S).topics)
        except KafkaException as error:
            raise BrokerUnavailableError(f"the broker didn't list its topics: {error.args[0].str()}") from error

    def _client(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 2}, logger=_LOG)

    @staticmethod
    def _wait(future: "object", fine: int) -> None:
        try:
            future.result(_TIMEOUT_S)  # type: ignore[attr-defined]  # confluent_kafka's futures carry no types
        except KafkaException as error:
            if error.args[0].code() != fine:
                raise BrokerUnavailableError(f"the broker didn't change its topics: {error}") from error
        except TimeoutError as error:
            raise BrokerUnavailableError("the broker didn't change its topics in time") from error
