# ruff: noqa: INP001  (a script, part of no package)
"""Puts a table into the catalog, as any client of Atlas would; prints its guid.

``python3 examples/make_table.py NAME OWNER…``, signed in by ``BLOCKLINE_USER`` and ``BLOCKLINE_PASSWORD`` (an author or
an administrator). Saying it again changes the same table.
"""

import base64
import json  # noqa: TID251  (an example stands alone: no more than Python is needed to run it)
import os
import sys
import urllib.request


def main(name: str, *owners: str) -> None:
    """Create or change it."""
    attributes = {"name": name, "qualifiedName": f"examples/{name}", "ownerUsers": owners}
    body = {"entities": [{"typeName": "Table", "guid": "-1", "attributes": attributes}]}
    login = f"{os.environ['BLOCKLINE_USER']}:{os.environ['BLOCKLINE_PASSWORD']}"
    request = urllib.request.Request(  # noqa: S310  (the address is the caller's own)
        os.environ.get("BLOCKLINE_URL", "http://127.0.0.1:8080") + "/api/atlas/v2/entity/bulk",
        data=json.dumps(body).encode(),
        headers={
            "Authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310  (likewise)
            guids = json.load(answer)["guidAssignments"]
    except OSError as error:
        sys.exit(f"The table isn't in the catalog: {error}. Is `blockline up` running, and is BLOCKLINE_URL right?")
    sys.stdout.write(guids["-1"] + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
