import socket
from pathlib import Path

import pytest

from cli.__main__ import main
from cli.data_folder import KEY, DataFolder, DataFolderError


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    first = DataFolder(tmp_path / "data").hold()
    with pytest.raises(DataFolderError, match="Another `blockline up` is running"):
        DataFolder(tmp_path / "data").hold()
    first.release()
    first.release()
    DataFolder(tmp_path / "data").hold().release()


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data").hold()
    key = folder.engine_key()
    assert len(key) == 32
    assert folder.engine_key() == key
    assert (folder.path / KEY).stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.release()


@pytest.mark.parametrize("text", ["", "00", "not hexadecimal"])
def test_a_key_that_isnt_one_is_never_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / KEY).write_text(text)
    with pytest.raises(DataFolderError, match="isn't an engine key"):
        DataFolder(tmp_path).engine_key()
    assert (tmp_path / KEY).read_text() == text


def test_a_folder_that_cant_be_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderError, match="can't be used"):
        DataFolder(tmp_path / "file" / "data").hold()


def test_a_port_that_is_taken_is_said_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["up", "--data", str(tmp_path / "data"), "--port", port]) == 1
    assert f"Port {port} of 127.0.0.1 can't be taken" in capsys.readouterr().err
    DataFolder(tmp_path / "data").hold().release()


def test_a_bad_setting_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BLOCKLINE_SHARDS", "0")
    assert main(["up", "--data", str(tmp_path)]) == 1
    assert "BLOCKLINE_SHARDS" in capsys.readouterr().err
