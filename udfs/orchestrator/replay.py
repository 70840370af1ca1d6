"""A dead letter that is sent again: what its bytes are says where they go, wherever they were refused."""

import base64
import binascii
import hashlib
from typing import Final

from pipeline.cdc.codec import read, to_event
from pipeline.messages.canonical import MalformedError
from pipeline.messages.envelopes import (
    CommandInput,
    Dispatch,
    Event,
    Look,
    Replay,
    Result,
    Tick,
    parse_dispatch,
    parse_event,
    parse_shard_input,
)
from pipeline.messages.seal import Seal, Sealed, TamperedError

Original = Event | Dispatch | Result | Look | Tick | CommandInput
NOT_ASKED: Final = "Nobody asked for this by the API, or other bytes stand there now than were asked for."
NOTHING_FOLLOWS: Final = "It was read, and nothing follows from it."


class NotAskedError(MalformedError):
    """The request to send these bytes again wasn't signed by this engine."""


def bytes_of(replay: Replay, seal: Seal) -> bytes:
    """The bytes of the letter, if these are the ones that somebody asked for.

    Raises:
        NotAskedError: they aren't, or nobody did.
    """
    try:
        asked = seal.open(Sealed.REPLAY, replay.letter, replay.request)
        payload = base64.b64decode(replay.payload_base64, validate=True)
    except (TamperedError, MalformedError, binascii.Error, ValueError):
        raise NotAskedError(NOT_ASKED) from None
    if (asked.get("sha256"), asked.get("at")) != (hashlib.sha256(payload).hexdigest(), replay.asked_at):
        raise NotAskedError(NOT_ASKED)
    return payload


def original(payload: bytes) -> Original | None:
    """What the bytes are, wherever they were refused; None for a notification from which nothing follows.

    Raises:
        MalformedError: none of the pipeline's messages, and no notification that can be read.
    """
    for parse in (parse_event, parse_dispatch, parse_shard_input):
        try:
            return parse(payload)
        except MalformedError:
            continue
    told = read(payload)
    return None if told is None else to_event(told)
