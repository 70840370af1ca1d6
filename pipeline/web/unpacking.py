"""Content encodings, undone piece by piece so that what unpacks to far more than it is never fills the memory."""

import zlib
from typing import Final, Protocol

from pipeline.core.errors import ErrorName
from pipeline.web.port import WebError

ACCEPTED: Final = "gzip, deflate"
"""What is asked for; nothing else is unpacked."""
_GZIP: Final = zlib.MAX_WBITS | 16
_ZLIB_HEAD_BYTES: Final = 2
_BROKEN: Final = "the answer can't be unpacked"


class Unpacker(Protocol):
    """Undoes one encoding."""

    def take(self, data: bytes, room: int) -> bytes:
        """What ``data`` adds, one byte over ``room`` at most: the caller stops there.

        Raises:
            WebError: it isn't packed as it says.
        """
        ...

    def end(self) -> None:
        """There is no more.

        Raises:
            WebError: there should be.
        """
        ...


def unpacker_of(encoding: str) -> Unpacker:
    """For the value of a ``Content-Encoding``, in any case; an empty one means none.

    Raises:
        WebError: it wasn't asked for.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Gzip()
        case "deflate":
            return _Deflate()
    raise WebError(ErrorName.HTTP_CONNECTION, "the answer is packed in a way that wasn't asked for")


class _Plain:
    def take(self, data: bytes, room: int) -> bytes:
        return data[: room + 1]

    def end(self) -> None:
        pass


class _Gzip:
    """Of any number of members, one behind the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._is_begun = False

    def take(self, data: bytes, room: int) -> bytes:
        taken = bytearray()
        while data and len(taken) <= room:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            self._is_begun = True
            taken += _unpacked(self._member, data, room + 1 - len(taken))
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return bytes(taken)

    def end(self) -> None:
        if self._is_begun and not self._member.eof:
            raise WebError(ErrorName.HTTP_CONNECTION, "the answer broke off")


class _Deflate:
    """With zlib's head, as it should be, or without it, as some servers send it."""

    def __init__(self) -> None:
        self._head = b""
        self._stream = zlib.decompressobj()
        self._is_known = False

    def take(self, data: bytes, room: int) -> bytes:
        if not self._is_known:
            self._head += data
            if len(self._head) < _ZLIB_HEAD_BYTES:
                return b""
            if int.from_bytes(self._head[:2]) % 31 or self._head[0] & 0x0F != zlib.DEFLATED:
                self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
            self._is_known, data = True, self._head
        return _unpacked(self._stream, data, room + 1)

    def end(self) -> None:
        if (self._is_known or self._head) and not self._stream.eof:
            raise WebError(ErrorName.HTTP_CONNECTION, "the answer broke off")


def _unpacked(stream: "zlib._Decompress", data: bytes, bytes_max: int) -> bytes:
    try:
        return stream.decompress(data, bytes_max)
    except zlib.error:
        raise WebError(ErrorName.HTTP_CONNECTION, _BROKEN) from None
