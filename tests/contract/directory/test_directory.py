"""What every directory of people answers."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.directory.port import Person
from tests.contract.directory.conftest import CROWD, ODD, PEOPLE, Story, World

Tell = Callable[[Story], None]


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name[:6])
def test_somebody_is_known_with_address_groups_and_roles(tell: Tell, person: Person) -> None:
    async def story(world: World) -> None:
        found = await world.directory.person(person.name)
        assert found is not None
        assert replace(found, groups=tuple(sorted(found.groups))) == person

    tell(story)


@pytest.mark.parametrize("name", ["nobody", "", "sa", 'sam" or userName sw "', "*", "sam\n"])
def test_nobody_else_is(tell: Tell, name: str) -> None:
    async def story(world: World) -> None:
        assert await world.directory.person(name) is None
        assert await world.directory.members(name) is None
        assert not await world.directory.has_unknown_members(name)

    tell(story)


def test_members_are_listed_with_their_addresses(tell: Tell) -> None:
    async def story(world: World) -> None:
        members = await world.directory.members("stewards")
        assert [(each.name, each.email) for each in members or ()] == [
            ("sam", "sam@example.org"),
            ("samuel", "samuel@example.org"),
            ("tess", None),
        ]
        assert all("stewards" in each.groups for each in members or ())
        assert not await world.directory.has_unknown_members("stewards")
        assert [each.name for each in await world.directory.members("legal & risk") or ()] == [ODD, "samuel"]

    tell(story)


def test_all_of_a_large_group_are_listed(tell: Tell) -> None:
    async def story(world: World) -> None:
        members = await world.directory.members("crowd")
        assert [each.name for each in members or ()] == [f"c{number:03}" for number in range(CROWD)]

    tell(story)


def test_a_change_is_seen(tell: Tell) -> None:
    async def story(world: World) -> None:
        await world.change(Person("sam", "sam@new.example.org", ("others",), ("author",)))
        assert await world.directory.person("sam") == Person("sam", "sam@new.example.org", ("others",), ("author",))
        assert [each.name for each in await world.directory.members("stewards") or ()] == ["samuel", "tess"]
        assert [each.name for each in await world.directory.members("others") or ()] == ["sam"]

    tell(story)


def test_names_are_found_by_how_they_begin(tell: Tell) -> None:
    async def story(world: World) -> None:
        search = world.directory.search
        is_finding = bool(await search("sam", kind="user", limit=10))
        assert await search("SAM", kind="user", limit=10) == (["sam", "samuel"] if is_finding else [])
        assert await search("stew", kind="group", limit=10) == (["stewards"] if is_finding else [])
        assert await search("stew", kind="user", limit=10) == []
        assert is_finding or not world.finds_inside

    tell(story)


def test_what_is_found_is_bounded(tell: Tell) -> None:
    async def story(world: World) -> None:
        assert len(await world.directory.search("", kind="user", limit=7)) == 7
        assert len(await world.directory.search("", kind="user", limit=1000)) == CROWD + len(PEOPLE)
        assert await world.directory.search("", kind="group", limit=10) == ["crowd", "legal & risk", "stewards"]
        if world.finds_inside:
            assert await world.directory.search("MUEL", kind="user", limit=10) == ["samuel"]

    tell(story)
