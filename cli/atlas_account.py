"""The Atlas that ``--atlas`` names, and who signs in there."""

import httpx

from pipeline.core.errors import BlocklineError
from pipeline.process.settings import ServerSettings, variable_of


class AtlasError(BlocklineError):
    """The Atlas that was asked for can't be used as asked; one sentence says why."""


def account(settings: ServerSettings) -> tuple[str, str, str]:
    """Address, user and password; nothing is connected to.

    Raises:
        AtlasError: the address isn't one, or there is no account to sign in with.
    """
    try:
        url = httpx.URL(settings.atlas)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise AtlasError("--atlas is an address as http://HOST:PORT.")
    user, password = url.username or settings.atlas_user, url.password or settings.atlas_password
    if not user or not password:
        names = f"{variable_of('atlas_user')} and {variable_of('atlas_password')}"
        raise AtlasError(f"--atlas needs an account of that Atlas: set {names}.")
    return str(url.copy_with(userinfo=b"", path="/")).rstrip("/"), user, password
