"""The product on the real systems, and who works with it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.product import Product
from tests.real.configuration import PASSWORD, USER
from tests.real.systems import RealSystems, attached


@pytest.fixture(scope="session")
def systems() -> RealSystems:
    return attached()


@pytest.fixture
def product(tmp_path: Path, systems: RealSystems) -> Iterator[Callable[..., Product]]:
    """Makes products on the real systems; what a failed test leaves running is killed."""
    made: list[Product] = []

    def make(**environment: str) -> Product:
        account = {"BLOCKLINE_ATLAS_USER": USER, "BLOCKLINE_ATLAS_PASSWORD": PASSWORD}
        arguments = ("--atlas", systems.atlas, "--kafka", systems.kafka)
        made.append(Product(tmp_path / "product", environment={**account, **environment}, arguments=arguments))
        return made[-1]

    yield make
    for each in made:
        each.kill()
