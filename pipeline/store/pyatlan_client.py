"""pyatlan, imported when it is first needed: it takes 3 s and 135 MiB."""

import logging
import warnings
from typing import Any

from pipeline.store.atlas_http import PYATLAN_URL, AtlasSession


def load() -> None:
    """Import pyatlan and make its models now, else at the first write. May be called in a thread and again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pyatlan's own use of importlib.resources
        import pyatlan.client.aio.client  # noqa: PLC0415  (3 s: only who writes pays for it)

        import pipeline.store.atlas_models  # noqa: F401, PLC0415  (likewise)

    # What it would log as errors is raised as the port's errors, and its debugging texts hold whole documents.
    logging.getLogger(pyatlan.__name__).setLevel(logging.CRITICAL)


def client_over(session: AtlasSession) -> Any:
    """Pyatlan's client on a session of ours: one request a save, no retry, no token refresh."""
    load()
    from pyatlan.client.aio.client import AsyncAtlanClient  # noqa: PLC0415  (see load)

    client = AsyncAtlanClient(base_url=PYATLAN_URL, api_key="the transport logs in", proxy=None, verify=True)
    client._session.close()  # noqa: SLF001  (the one for synchronous calls, never used)
    client._async_session = session  # noqa: SLF001  (pyatlan has no other way to hand in a session)
    return client
