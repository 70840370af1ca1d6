"""Where the users of one machine are more than one question is put to."""

import asyncio
from pathlib import Path

from pipeline.core.limits import DIRECTORY_MEMBERS_MAX
from pipeline.directory.embedded import EmbeddedDirectory
from pipeline.directory.port import Person
from tests.contract.directory.conftest import embedded_users


def test_a_group_that_is_too_large_is_known_and_its_members_arent(tmp_path: Path) -> None:
    """As over SCIM (test_scim.py): a workflow means the same on one machine and in a cluster."""

    most = [Person(f"x{number:03}", None, ("everybody", "most")) for number in range(DIRECTORY_MEMBERS_MAX)]

    async def story() -> None:
        async with embedded_users(tmp_path, *most, Person("x-one-more", None, ("everybody",))) as users:
            directory = EmbeddedDirectory(users)
            assert len(await directory.members("most") or ()) == DIRECTORY_MEMBERS_MAX
            assert not await directory.has_unknown_members("most")
            assert await directory.members("everybody") is None
            assert await directory.has_unknown_members("everybody")

    asyncio.run(story())
