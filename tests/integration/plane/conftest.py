"""Every test that asks for a transport runs on each."""

import pytest

from tests.integration.plane.small import Transport


@pytest.fixture(params=list(Transport), ids=lambda transport: transport.value)
def transport(request: pytest.FixtureRequest) -> Transport:
    """The way from a vertex to its handler."""
    assert isinstance(request.param, Transport)
    return request.param
