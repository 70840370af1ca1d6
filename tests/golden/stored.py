"""Data folders as earlier versions of the embedded Atlas left them, recorded by ``blockline up`` of that time.

``v1``: one run of the workflow ``kept`` (an approval, then a PASS) has ended APPROVED, another asks ``sam`` until 2036;
both were started by ``rosa`` about the table ``db/orders``. A new format gets a folder of its own: run such a workflow
on a new data folder, stop it, and write what ``sqlite3.Connection.iterdump`` says and the ``user_version`` there.
"""

import sqlite3
from pathlib import Path

STORED = Path(__file__).parent / "stored"
VERSIONS = sorted(path.name for path in STORED.iterdir())
ENGINE_KEY = "7bce79951d0c2ec2a174791fd14c915d9b335e909d8a92977e85ee9134c7d765"
"""What the texts in them are signed with."""


def recorded_at(version: str, data: Path) -> Path:
    """The data folder ``data`` as that version left it; the file of the entities."""
    data.mkdir(mode=0o700, parents=True)
    (data / "engine.key").write_text(f"{ENGINE_KEY}\n")
    (data / "engine.key").chmod(0o600)
    file = data / "atlas.sqlite3"
    connection = sqlite3.connect(file)
    connection.executescript((STORED / version / "atlas.sql").read_text("utf-8"))
    connection.close()
    return file
