"""pyatlan, imported when it is first needed: it takes 3 s and 135 MiB."""

import logging
import threading
import warnings
from concurrent.futures import Future
from typing import Any

from pipeline.store.atlas_http import PYATLAN_URL, AtlasSession
from pipeline.store.port import StoreUnavailableError


def load() -> None:
    """Import pyatlan and make its models now, else at the first write. May be called in a thread and again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pyatlan's own use of importlib.resources
        import pyatlan.client.aio.client  # noqa: PLC0415  (3 s: only who writes pays for it)

        import pipeline.store.atlas_models  # noqa: F401, PLC0415  (likewise)

    # What it would log as errors is raised as the port's errors, and its debugging texts hold whole documents.
    logging.getLogger(pyatlan.__name__).setLevel(logging.CRITICAL)


def load_in_a_thread() -> "Future[None]":
    """Begin to import pyatlan in a thread of its own; done when it is there."""
    loaded: Future[None] = Future()

    def work() -> None:
        try:
            load()
        except BaseException as error:  # noqa: BLE001  (whoever waits for it gets it)
            loaded.set_exception(error)
        else:
            loaded.set_result(None)

    threading.Thread(target=work, name="load-pyatlan", daemon=True).start()
    return loaded


class LoadedLater:
    """Imports pyatlan when it is first needed, without stopping whoever needs it: a lease could run out meanwhile."""

    def __init__(self) -> None:
        """Nothing is imported."""
        self._loaded: Future[None] | None = None

    def __call__(self) -> None:
        """Nothing once it is there.

        Raises:
            StoreUnavailableError: it isn't yet; try again.
        """
        if self._loaded is None:
            self._loaded = load_in_a_thread()
        if not self._loaded.done():
            raise StoreUnavailableError("What this is written with is being loaded, which takes some seconds once.")
        self._loaded.result()


def client_over(session: AtlasSession) -> Any:
    """Pyatlan's client on a session of ours: one request a save, no retry, no token refresh."""
    load()
    from pyatlan.client.aio.client import AsyncAtlanClient  # noqa: PLC0415  (see load)

    client = AsyncAtlanClient(base_url=PYATLAN_URL, api_key="the transport logs in", proxy=None, verify=True)
    client._session.close()  # noqa: SLF001  (the one for synchronous calls, never used)
    client._async_session = session  # noqa: SLF001  (pyatlan has no other way to hand in a session)
    return client
