"""Which addresses may be called: the public internet over TLS, and what an operator has added to it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Self

from pipeline.core.errors import BlocklineError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ANY: Final = "*"
PLAIN: Final = "http"
SECURE: Final = "https"

METADATA: Final = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # AWS, Azure, Google and most others
            "169.254.170.2",  # AWS, of containers
            "fd00:ec2::254",  # AWS
            "fd20:ce::254",  # Google
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "168.63.129.16",  # Azure, though it is a public address
        ),
    )
)
"""What hands out a machine's own credentials; allowed only by an entry for that very address."""

_NAT64: Final = IPv6Network("64:ff9b::/96")
_INWARD: Final = tuple(
    map(
        ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "::1/128", "fc00::/7"),
    )
)
"""Private, loopback and carrier addresses: where an installation's own services are."""
_NOT_PUBLIC: Final = tuple(
    map(
        ip_network,
        (
            "100.64.0.0/10",
            "192.88.99.0/24",
            "240.0.0.0/4",
            "::/96",  # IPv4 in the oldest of its disguises
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",  # Teredo among others
            "fec0::/10",
        ),
    )
)
"""Beside those the standard library knows, in every version of it."""
_NAME: Final = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_PORT_MAX: Final = 65535


class PermitError(BlocklineError):
    """A list of hosts and networks that can't be read; the sentence quotes the entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A host (``jira.example``, ``*.example`` for those below it, ``*``) or a network, perhaps with a port."""

    place: str | Network
    port: int | None = None

    def names(self, host: str) -> bool:
        """Whether the host is meant by its name."""
        if not isinstance(self.place, str):
            return False
        return self.place in {ANY, host} or (self.place.startswith("*.") and host.endswith(self.place[1:]))

    def holds(self, address: Address) -> bool:
        """Whether the address is in the network."""
        return not isinstance(self.place, str) and address in self.place

    def is_exactly(self, address: Address) -> bool:
        """Whether it is an entry for this one address."""
        return not isinstance(self.place, str) and self.place == ip_network(address)


@dataclass(frozen=True, slots=True)
class Permits:
    """``inward`` are hosts that may have addresses inside, and networks inside; ``plain`` may be called without TLS;
    ``traced`` are told which trace a call belongs to.
    """

    inward: tuple[Entry, ...] = ()
    plain: tuple[Entry, ...] = ()
    traced: tuple[Entry, ...] = ()

    @classmethod
    def parse(cls, inward: str, plain: str, traced: str = "") -> Self:
        """From lists with commas between their entries.

        Raises:
            PermitError: an entry can't be read, or allows every host inside.
        """
        entries = tuple(_entries(inward))
        if any(entry.place == ANY for entry in entries):
            raise PermitError("HTTP tasks can't be allowed `*` inside: name hosts or networks")
        return cls(entries, tuple(_entries(plain)), tuple(_entries(traced)))

    def may_speak(self, scheme: str, host: str, port: int) -> bool:
        """Whether the host may be called by this scheme; ``host`` is a name or an address."""
        if scheme == SECURE:
            return True
        return scheme == PLAIN and _means(self.plain, host, port)

    def may_trace(self, host: str, port: int) -> bool:
        """Whether the host is told which trace a call belongs to; ``host`` is a name or an address."""
        return _means(self.traced, host, port)

    def may_connect(self, host: str, port: int, address: Address) -> bool:
        """Whether a connection may go to ``address``, one of those that ``host`` has now."""
        real = unwrapped(address)
        entries = list(_of_port(self.inward, port))
        if real in METADATA:
            return any(entry.is_exactly(real) for entry in entries)
        if real.is_multicast or real.is_unspecified:
            return False
        if is_public(real) or any(entry.holds(real) for entry in entries):
            return True
        return _is_in(real, _INWARD) and any(entry.names(_plain_name(host)) for entry in entries)


def _means(entries: tuple[Entry, ...], host: str, port: int) -> bool:
    literal = _literal(host)
    return any(
        entry.names(_plain_name(host)) or (literal is not None and entry.holds(literal))
        for entry in _of_port(entries, port)
    )


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64); else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_public(address: Address) -> bool:
    """Whether everybody on the internet reaches the same machine by it."""
    return address.is_global and not address.is_multicast and not _is_in(address, _NOT_PUBLIC)


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _plain_name(host: str) -> str:
    return host.lower().rstrip(".")


def _of_port(entries: tuple[Entry, ...], port: int) -> Iterator[Entry]:
    return (entry for entry in entries if entry.port in {None, port})


def _entries(text: str) -> Iterator[Entry]:
    return (_entry(part) for part in (piece.strip().lower() for piece in text.split(",")) if part)


def _entry(text: str) -> Entry:
    if (network := _network(text)) is not None:
        return Entry(network)
    place, colon, digits = text.rpartition(":")
    if not colon:
        place, digits = text, ""
    port = int(digits) if digits.isascii() and digits.isdecimal() else None
    if (colon and port is None) or (port is not None and not 0 < port <= _PORT_MAX):
        raise PermitError(f"what HTTP tasks may call: `{text}` isn't a host or a network, with or without a port")
    network = _network(place)
    if network is not None:
        return Entry(network, port)
    if place != ANY and not _NAME.fullmatch(place):
        raise PermitError(f"what HTTP tasks may call: `{text}` isn't a host or a network, with or without a port")
    return Entry(place.rstrip("."), port)


def _network(text: str) -> Network | None:
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
