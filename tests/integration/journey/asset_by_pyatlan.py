"""``python -m tests.integration.journey.asset_by_pyatlan URL TOKEN GUID``: a table as somebody with pyatlan sees it.

Prints what a workflow may change of it, as JSON. A process of its own, as in ``by_pyatlan``.
"""

import sys
from typing import Any

from pyatlan.client.atlan import AtlanClient
from pyatlan.model.assets import Table

from pipeline.messages.canonical import encode


def main(url: str, token: str, guid: str) -> None:
    table = AtlanClient(base_url=url, api_key=token).asset.get_by_guid(guid, Table)
    seen: dict[str, Any] = {
        "description": table.description,
        "rows": table.row_count,
        "owners": sorted(table.owner_users or ()),
        "groups": sorted(table.owner_groups or ()),
        "certificate": [table.certificate_status, table.certificate_status_message],
        "terms": sorted(term.display_text for term in table.assigned_terms or ()),
        "custom": table.custom_attributes,
        "by": table.updated_by,
    }
    print(encode(seen).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
