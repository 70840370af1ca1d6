from ipaddress import ip_address

import pytest

from pipeline.web.permits import PermitError, Permits

INSIDE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd00::1",
]
NEVER_BY_NAME = [
    "0.0.0.0",  # noqa: S104  (called, not bound)
    "169.254.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.1",
    "239.1.1.1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "::",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::7f00:1",
    "2001:0:7f00:1::",
    "64:ff9b:1::1",
    "2001:db8::1",
]
DISGUISED = ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]
DISGUISED_METADATA = ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"]


def may(address: str, allow: str = "", host: str = "service.example", port: int = 443) -> bool:
    return Permits.parse(allow, "").may_connect(host, port, ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_the_internet_may_be_called(address: str) -> None:
    assert may(address)


@pytest.mark.parametrize("address", [*INSIDE, *NEVER_BY_NAME, *DISGUISED, *DISGUISED_METADATA])
def test_nothing_inside_may_be_called(address: str) -> None:
    assert not may(address)


@pytest.mark.parametrize("address", [*INSIDE, *DISGUISED])
def test_a_host_that_is_allowed_by_name_may_be_inside(address: str) -> None:
    assert may(address, "service.example")
    assert may(address, "*.example:443")
    assert not may(address, "service.example:8443")
    assert not may(address, "other.example, *.service.example")


@pytest.mark.parametrize("address", [*NEVER_BY_NAME, *DISGUISED_METADATA])
def test_a_name_never_opens_the_way_to_what_isnt_a_service(address: str) -> None:
    assert not may(address, "service.example, *.example")


def test_a_network_opens_itself_but_for_what_hands_out_credentials() -> None:
    assert may("10.1.2.3", "10.1.0.0/16")
    assert not may("10.2.2.3", "10.1.0.0/16")
    assert may("fe80::1", "fe80::/10")
    assert may("169.254.1.1", "169.254.0.0/16")
    assert not may("169.254.169.254", "169.254.0.0/16")
    assert not may("fd00:ec2::254", "fc00::/7")
    assert may("169.254.169.254", "169.254.169.254")
    assert not may("224.0.0.1", "224.0.0.0/4")
    assert may("127.0.0.1", "127.0.0.1:8080", port=8080)
    assert not may("127.0.0.1", "127.0.0.1:8080", port=8081)
    assert may("::1", "[::1]:8080", port=8080)


def test_http_is_for_an_operator_to_allow() -> None:
    def speaks(plain: str, host: str, scheme: str = "http") -> bool:
        return Permits.parse("", plain).may_speak(scheme, host, 80)

    assert speaks("", "a.example", "https")
    assert not speaks("", "a.example")
    assert speaks("*", "a.example")
    assert speaks("a.example", "A.example.")
    assert speaks("10.0.0.0/8", "10.1.1.1")
    assert not speaks("a.example:8080", "a.example")
    assert not speaks("*", "a.example", "ftp")


@pytest.mark.parametrize("text", ["*", "a b", "http://a", "a:0", "a:99999", "a:b", "[::1", "1.2.3.0/33", "-"])
def test_a_list_that_cant_be_read_is_refused(text: str) -> None:
    with pytest.raises(PermitError, match="HTTP tasks"):
        Permits.parse(text, "")
