"""So many people that nobody counts them, on the disk before the product starts: a password takes 50 ms each."""

import asyncio
from pathlib import Path

from pipeline.local.atlas.database import Database
from pipeline.messages.canonical import encode


def crowd_of(number: int, group: str, data: Path) -> None:
    """``number`` members of a group, who can't sign in."""
    roles, groups = encode(["requester"]).decode(), encode([group]).decode()
    rows = [(f"c{each:04}", "-", None, groups, roles) for each in range(number)]
    statement = "INSERT INTO user (name, password, email, groups, roles) VALUES (?,?,?,?,?)"

    async def write() -> None:
        database = Database(data / "atlas.sqlite3")
        try:
            await database.write(lambda transaction: transaction.connection.executemany(statement, rows).rowcount)
        finally:
            await database.close()

    data.mkdir(mode=0o700, parents=True)
    asyncio.run(write())
