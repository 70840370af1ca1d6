"""``--atlas``: what is said before anything is started."""

from dataclasses import replace
from typing import Any

import pytest

from cli.atlas import ApacheAtlas, refuse_unusable
from cli.atlas_account import AtlasError
from pipeline.process.clock import SystemClock
from pipeline.process.settings import ServerSettings

GOOD = ServerSettings(atlas="http://atlas.example.org:21000", kafka="k:9092", atlas_user="a", atlas_password="p")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"atlas": "atlas:21000"}, "http://HOST:PORT"),
        ({"atlas": "ftp://atlas.example.org"}, "http://HOST:PORT"),
        ({"atlas_user": ""}, "BLOCKLINE_ATLAS_USER"),
        ({"atlas_password": ""}, "BLOCKLINE_ATLAS_PASSWORD"),
        ({"kafka": ""}, "--kafka"),
    ],
)
def test_what_cannot_be_used_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(AtlasError, match=words):
        refuse_unusable(replace(GOOD, **change))


def test_the_account_may_stand_in_the_address_and_is_not_kept_in_it() -> None:
    settings = ServerSettings(atlas="https://who:what@atlas.example.org/", kafka="k:9092")
    refuse_unusable(settings)
    assert ApacheAtlas(settings, SystemClock()).access.url == "https://atlas.example.org"


def test_without_it_there_is_nothing_to_refuse() -> None:
    refuse_unusable(ServerSettings())
