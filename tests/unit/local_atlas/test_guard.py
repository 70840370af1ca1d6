"""Signing in: many at once, and for all that answers on the port together."""

import asyncio

import pytest

from pipeline.directory.port import Person
from pipeline.local.atlas.guard import FAILURES_MAX, WINDOW_S, Guard, TooManyGuessesError

SAM = Person("sam")


class Clock:
    def __init__(self) -> None:
        self.at_s = 0.0

    def now_ms(self) -> int:
        return int(self.at_s * 1000)

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        self.at_s += seconds


class Users:
    def __init__(self) -> None:
        self.asked = 0
        self.is_known = False

    def remembered(self, name: str, password: str) -> Person | None:
        return SAM if self.is_known and (name, password) == ("sam", "right") else None

    async def by_password(self, name: str, password: str) -> Person | None:
        self.asked += 1
        await asyncio.sleep(0)
        if (name, password) != ("sam", "right"):
            return None
        self.is_known = True
        return SAM

    async def by_token(self, token: str) -> Person | None:
        return SAM if token == "good" else None


def test_guesses_at_once_count_as_those_one_after_another() -> None:
    async def story() -> None:
        users = Users()
        guard = Guard(users, Clock())
        guesses = (guard.by_password("sam", f"guess {n}", "here") for n in range(50))
        answers = await asyncio.gather(*guesses, return_exceptions=True)
        assert sum(isinstance(answer, TooManyGuessesError) for answer in answers) >= 50 - FAILURES_MAX - 1
        assert users.asked <= FAILURES_MAX + 1

    asyncio.run(story())


def test_a_right_password_many_times_at_once_is_verified_as_good_as_once() -> None:
    async def story() -> None:
        users = Users()
        guard = Guard(users, Clock())
        people = await asyncio.gather(*(guard.by_password("sam", "right", "here") for _ in range(50)))
        assert people == [SAM] * 50
        assert users.asked <= 2

    asyncio.run(story())


def test_a_refusal_says_how_long_and_holds_for_that_address_alone() -> None:
    async def story() -> None:
        clock = Clock()
        guard = Guard(Users(), clock)
        for _ in range(FAILURES_MAX):
            assert await guard.by_password("sam", "wrong", "here") is None
            clock.at_s += 1
        with pytest.raises(TooManyGuessesError) as refused:
            await guard.by_password("sam", "right", "here")
        assert refused.value.wait_s == WINDOW_S - FAILURES_MAX
        assert await guard.by_password("sam", "wrong", "there") is None
        clock.at_s += refused.value.wait_s
        assert await guard.by_password("sam", "right", "here") == SAM

    asyncio.run(story())


def test_whom_is_remembered_nobody_locks_out_and_tokens_lock_nobody() -> None:
    async def story() -> None:
        guard = Guard(Users(), Clock())
        assert await guard.by_password("sam", "right", "here") == SAM
        for _ in range(FAILURES_MAX):
            assert await guard.by_password("sam", "wrong", "here") is None
            assert await guard.by_token("bad") is None
        assert await guard.by_password("sam", "right", "here") == SAM
        assert await guard.by_token("good") == SAM

    asyncio.run(story())
