"""A folder of files, as an operator or a mounted Secret fills it."""

import asyncio
import re
from pathlib import Path

import pytest

from pipeline.blocks.secrets import SecretError
from pipeline.core.limits import SECRET_BYTES_MAX
from pipeline.secrets.folder import FolderSecrets


def get(folder: Path, name: str) -> str:
    return asyncio.run(FolderSecrets(folder).get(name))


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"s3cret-1", "s3cret-1"),
        (b"s3cret-1\n", "s3cret-1"),
        (b"s3cret-1\r\n", "s3cret-1"),
        (b"two\nlines\n\n", "two\nlines\n"),
        ("schlüssel".encode(), "schlüssel"),
        (b"x" * SECRET_BYTES_MAX, "x" * SECRET_BYTES_MAX),
    ],
)
def test_a_secret_is_its_files_text_without_the_last_line_end(tmp_path: Path, content: bytes, secret: str) -> None:
    (tmp_path / "TOKEN").write_bytes(content)
    assert get(tmp_path, "TOKEN") == secret


def test_a_new_value_counts_at_once_also_behind_the_links_of_a_mounted_secret(tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "TOKEN").write_text(f"value-{number}")
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "TOKEN").symlink_to("..data/TOKEN")
    secrets = FolderSecrets(tmp_path)
    assert asyncio.run(secrets.get("TOKEN")) == "value-0"
    (tmp_path / "..data").unlink()
    (tmp_path / "..data").symlink_to("second")
    assert asyncio.run(secrets.get("TOKEN")) == "value-1"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ABSENT", "There is no secret ABSENT. An operator can add it."),
        ("../outside", "A secret's name has letters, digits and _ only."),
        ("", "A secret's name has letters, digits and _ only."),
        ("FOLDER", "The secret FOLDER can't be read. An operator can say why."),
        ("BINARY", "The secret BINARY isn't text."),
        ("HUGE", "The secret HUGE is larger than 65536 bytes."),
    ],
)
def test_what_cant_be_had_is_said_without_a_path(tmp_path: Path, name: str, sentence: str) -> None:
    folder = tmp_path / "secrets"
    (folder / "FOLDER").mkdir(parents=True)
    (tmp_path / "outside").write_text("not a secret of ours")
    (folder / "BINARY").write_bytes(b"\xff\xfe\x00")
    (folder / "HUGE").write_bytes(b"x" * (SECRET_BYTES_MAX + 1))
    with pytest.raises(SecretError, match=f"^{re.escape(sentence)}$"):
        get(folder, name)


def test_a_folder_that_isnt_there_holds_none(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="There is no secret TOKEN"):
        get(tmp_path / "nowhere", "TOKEN")
