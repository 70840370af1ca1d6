"""The page that the link of a mail leads to."""

import httpx

from tests.unit.api.test_runs import item
from tests.unit.api.world import PASSWORD, World, play


def test_the_page_shows_ones_own_questions_and_how_to_answer_them() -> None:
    async def story(world: World) -> None:
        evil = "<script>alert('x')</script>"
        mine = await item(world, "run-1", "sam", description=evil, workflowTaskOptions='["APPROVED","It\'s <b>"]')
        other = await item(world, "run-2", "sam", description="Another")
        theirs = await item(world, "run-1", "rosa", description="Not for sam")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://test") as client:
            assert "/inbox" in (await client.get("/")).text
            refused = await client.get("/inbox?run=run-1")
            assert (refused.status_code, "www-authenticate" in refused.headers) == (401, True)
            shown = await client.get("/inbox", params={"run": "run-1"}, auth=("sam", PASSWORD))
            assert shown.status_code == 200
            assert f"blockline task decide {mine} APPROVED" in shown.text
            assert "<script>" not in shown.text
            assert "<b>" not in shown.text
            assert other not in shown.text
            assert theirs not in shown.text
            assert other in (await client.get("/inbox", auth=("sam", PASSWORD))).text
            nothing = await client.get("/inbox", params={"run": "run-3"}, auth=("sam", PASSWORD))
            assert "Nothing of this run is asked of you" in nothing.text

    play(story)
