"""The client that the settings ask for."""

from pipeline.web.client import HttpcoreWebClient
from pipeline.web.permits import Permits


def open_web_client(inward: str, plain: str, authorities: str, traced: str = "") -> HttpcoreWebClient:
    """See :meth:`Permits.parse` and :class:`HttpcoreWebClient` for the four.

    Raises:
        PermitError: a list can't be read.
        AuthorityError: the file can't be used.
    """
    return HttpcoreWebClient(Permits.parse(inward, plain, traced), authorities=authorities)
