"""Users, groups, passwords and tokens; and the directory over them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pipeline.directory.embedded import EmbeddedDirectory
from pipeline.directory.port import Person
from pipeline.local.atlas import users as module
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.passwords import hash_password, is_password
from pipeline.local.atlas.users import UserError, UserStore

SAM = Person("sam", "sam@example.org", ("stewards",), ("requester",))
Story = Callable[[UserStore], Awaitable[None]]


def tell(path: Path, *stories: Story) -> None:
    """Each story in a process of its own, as it were: the file is opened anew."""

    async def run(story: Story) -> None:
        database = Database(path / "atlas.sqlite3")
        try:
            await story(await UserStore.open(database))
        finally:
            await database.close()

    for story in stories:
        asyncio.run(run(story))


def test_a_password_is_recognised_and_kept_unreadable(tmp_path: Path) -> None:
    async def makes(users: UserStore) -> None:
        await users.add(SAM, "pässword")
        assert await users.by_password("sam", "pässword") == SAM

    async def reads(users: UserStore) -> None:
        assert await users.by_password("sam", "pässword") == SAM
        assert await users.by_password("sam", "pässword") == SAM, "the second time from memory"
        assert await users.by_password("sam", "password") is None
        assert await users.by_password("nobody", "pässword") is None
        assert await users.by_password("sam", "") is None
        await users.set("sam", password="new")
        assert await users.by_password("sam", "pässword") is None
        assert await users.by_password("sam", "new") == SAM

    tell(tmp_path, makes, reads)
    for file in tmp_path.iterdir():
        assert "pässword".encode() not in file.read_bytes()


def test_hashes_differ_and_are_checked() -> None:
    one, two = hash_password("x"), hash_password("x")
    assert one != two
    assert is_password("x", one)
    assert not is_password("y", one)
    assert not is_password("", module._NOBODY)


def test_users_are_changed_and_removed(tmp_path: Path) -> None:
    async def changes(users: UserStore) -> None:
        await users.add(SAM, "pw")
        with pytest.raises(UserError, match="already"):
            await users.add(SAM, "pw")
        changed = await users.set("sam", groups=["a", "b"], email="")
        assert changed == Person("sam", None, ("a", "b"), ("requester",))
        with pytest.raises(UserError, match="no user"):
            await users.set("tom", email="x")

    async def removes(users: UserStore) -> None:
        assert await users.get("sam") == Person("sam", None, ("a", "b"), ("requester",))
        token = await users.new_token("sam", "laptop")
        await users.remove("sam")
        await users.remove("sam")
        assert await users.get("sam") is None
        assert await users.by_token(token) is None
        assert await users.by_password("sam", "pw") is None

    async def looks(users: UserStore) -> None:
        assert await users.listed() == []

    tell(tmp_path, changes, removes, looks)


@pytest.mark.parametrize(
    ("person", "password"),
    [
        (Person(""), "pw"),
        (Person("a:b"), "pw"),
        (Person(" a"), "pw"),
        (Person("a\nb"), "pw"),
        (Person("x" * 300), "pw"),
        (Person("blockline"), "pw"),
        (Person("a", groups=("",)), "pw"),
        (Person("a", roles=("boss",)), "pw"),
        (Person("a"), None),
        (Person("a"), ""),
        (Person("a"), "x" * 2000),
    ],
)
def test_what_cannot_be_a_user_is_refused(tmp_path: Path, person: Person, password: str | None) -> None:
    async def story(users: UserStore) -> None:
        with pytest.raises(UserError):
            await users.put(person, password)
        assert await users.listed() == []

    tell(tmp_path, story)


def test_tokens(tmp_path: Path) -> None:
    given: dict[str, str] = {}

    async def makes(users: UserStore) -> None:
        await users.add(SAM, "pw")
        given["old"] = await users.new_token("sam", "laptop")
        given["new"] = await users.new_token("sam", "laptop")
        given["ci"] = await users.new_token("sam", "ci")
        with pytest.raises(UserError):
            await users.new_token("nobody", "x")

    async def uses(users: UserStore) -> None:
        assert await users.by_token(given["old"]) is None, "a token of the same name is replaced"
        assert await users.by_token(given["new"]) == SAM
        assert await users.tokens("sam") == ["ci", "laptop"]
        assert await users.remove_token("sam", "ci")
        assert not await users.remove_token("sam", "ci")
        assert await users.by_token(given["ci"]) is None

    tell(tmp_path, makes, uses)


def test_a_user_has_only_so_many_tokens(tmp_path: Path) -> None:
    async def story(users: UserStore) -> None:
        await users.add(SAM, "pw")
        for number in range(module.TOKENS_A_USER_MAX):
            await users.new_token("sam", str(number))
        with pytest.raises(UserError, match="can have"):
            await users.new_token("sam", "one more")
        await users.new_token("sam", "0")

    tell(tmp_path, story)


def test_the_first_start_makes_users_and_tells_their_passwords_once(tmp_path: Path) -> None:
    told: dict[str, str] = {}

    async def first(users: UserStore) -> None:
        told.update(await users.ensure_defaults())
        assert told.keys() == {"admin", "author", "requester", "approver"}

    async def second(users: UserStore) -> None:
        assert await users.ensure_defaults() == {}
        approver = await users.by_password("approver", told["approver"])
        assert approver is not None
        assert approver.groups == ("approvers",)

    async def third(users: UserStore) -> None:
        assert await users.ensure_defaults("given") == {}
        assert await users.by_password("admin", told["admin"]) is None
        admin = await users.by_password("admin", "given")
        assert admin is not None
        assert admin.roles == ("admin",)

    tell(tmp_path, first, second, third)


def test_a_given_admin_password_is_not_told(tmp_path: Path) -> None:
    async def story(users: UserStore) -> None:
        assert (await users.ensure_defaults("given")).keys() == {"author", "requester", "approver"}

    tell(tmp_path, story)


def test_the_directory(tmp_path: Path) -> None:
    async def story(users: UserStore) -> None:
        await users.add(SAM, "pw")
        await users.add(Person("kim", None, ("stewards", "Owners"), ()), "pw")
        directory = EmbeddedDirectory(users)
        assert await directory.person("sam") == SAM
        assert await directory.person("nobody") is None
        members = await directory.members("stewards")
        assert members is not None
        assert [person.name for person in members] == ["kim", "sam"]
        assert await directory.members("nobody") is None
        assert await directory.search("A", kind="user", limit=10) == ["sam"]
        assert await directory.search("o", kind="group", limit=10) == ["Owners"]
        assert await directory.search("", kind="user", limit=1) == ["kim"]

    tell(tmp_path, story)
