"""The store that the settings of a vertex ask for."""

from pipeline.process.settings import SettingError, VertexSettings
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess


def open_store(settings: VertexSettings) -> AtlasEntityStore:
    """Atlas over HTTP; connects at the first request.

    Raises:
        SettingError: there is no address, or no account to sign in with.
    """
    needed = {
        "BLOCKLINE_ATLAS": settings.atlas,
        "BLOCKLINE_USER": settings.user,
        "BLOCKLINE_PASSWORD": settings.password,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise SettingError(f"Not set: {', '.join(missing)}.")
    return AtlasEntityStore.over(AtlasAccess.basic(settings.atlas, settings.user, settings.password))
