"""The directory that the settings of a vertex ask for."""

from pipeline.core.clock import Clock
from pipeline.directory.cached import CachedDirectory
from pipeline.directory.scim import ScimDirectory
from pipeline.directory.scim_http import ScimAccess
from pipeline.process.settings import VertexSettings


def open_directory(settings: VertexSettings, clock: Clock) -> CachedDirectory:
    """By SCIM, with what was just asked kept for some seconds; connects at the first question.

    Raises:
        ScimSettingError: the settings don't make an address and a token, or the authorities can't be read.
    """
    access = ScimAccess.of(settings.directory_url, settings.directory_token, settings.directory_authorities)
    return CachedDirectory(ScimDirectory(access), clock)
