import pytest

from pipeline.process.settings import SettingError, otlp_headers, otlp_url, trace_settings


def test_a_collector_is_named_by_its_base_or_its_whole_address() -> None:
    for address in ("http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"):
        assert otlp_url(trace_settings({"BLOCKLINE_OTLP_ENDPOINT": address})) == "http://c:4318/v1/traces"


@pytest.mark.parametrize(
    "address", ["c:4318", "ftp://c", "http://", "http://c?x=1", "http://c:port", "http://u:s3cret@c"]
)
def test_what_isnt_an_address_is_refused_without_what_it_may_hold(address: str) -> None:
    with pytest.raises(SettingError, match="BLOCKLINE_OTLP_ENDPOINT") as caught:
        otlp_url(trace_settings({"BLOCKLINE_OTLP_ENDPOINT": address}))
    assert "s3cret" not in str(caught.value)


def test_headers_are_pairs() -> None:
    settings = trace_settings({"BLOCKLINE_OTLP_HEADERS": "Authorization=Bearer%20abc%3D, x-tenant=t"})
    assert otlp_headers(settings) == {"Authorization": "Bearer abc=", "x-tenant": "t"}


@pytest.mark.parametrize("text", ["s3cret", "=s3cret", "a b=s3cret", "a=s3cret%0D%0Ax: y"])
def test_headers_that_cant_be_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(SettingError, match="BLOCKLINE_OTLP_HEADERS") as caught:
        otlp_headers(trace_settings({"BLOCKLINE_OTLP_HEADERS": text}))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["-1", "101", "half"])
def test_a_percentage_is_one(text: str) -> None:
    with pytest.raises(SettingError, match="BLOCKLINE_TRACE_PERCENT"):
        trace_settings({"BLOCKLINE_TRACE_PERCENT": text})
