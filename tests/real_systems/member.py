"""``python -m tests.real_systems.member BOOTSTRAP TOPIC GROUP [INSTANCE]``: a consumer that says what it has handled.

It says so before it calls it done, so what is committed has been said. Leaves its group when its input ends.
"""

import asyncio
import sys

from pipeline.cdc.consumer import GroupReader

READ_MAX = 20
READ_S = 0.2


async def main(bootstrap: str, topic: str, group: str, instance: str = "") -> None:
    """Reads until then."""
    reader = GroupReader(bootstrap, topic, group, instance=instance)
    await reader.start()
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
    while not over.done():
        taken = await reader.read(READ_MAX, READ_S)
        for message in taken:
            print(message.payload.decode(), flush=True)
        reader.done(message.position for message in taken)
    await reader.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
