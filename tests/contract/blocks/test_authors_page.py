"""The block of docs/blocks.md, written as an author would; and that the suite notices what it promises to notice."""

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from pipeline.blocks.registry import Registry
from pipeline.testing.block_suite import SuiteError, check_block

PAGE = (Path(__file__).parents[3] / "docs" / "blocks.md").read_text()
CODE = next(block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "class EchoRunner" in block)
IMPORTS = """
from pydantic import Field
from pipeline.blocks.contract import Arguments, Attempt, Failed, Output, Runner, Succeeded, failed, succeeded
from pipeline.core.errors import ErrorName
"""
FILES = {
    "__init__.py": '"""ECHO."""\n',
    "runner.py": IMPORTS + CODE,
    "README.md": "# ECHO\n\nRepeating is safe. Errors: Validation.Input.\n",
    "block.toml": 'type = "ECHO"\ntitle = "Echo"\nsummary = "Says it again."\ncategory = "Data"\nicon = "repeat"\n'
    'owners = ["team"]\nstability = "beta"\ndelivery = "pure"\ntimeout_seconds = 5\n',
    "examples.jsonl": '{"name": "a", "arguments": {"text": "x"}, '
    '"expect": {"outcome": "SUCCEEDED", "output": {"text": "x"}}}\n'
    '{"name": "b", "kind": "retryable", "arguments": {"text": "x"}, "world": {"time": "over"}, '
    '"expect": {"outcome": "FAILED", "error": "Task.Timeout"}}\n'
    '{"name": "c", "kind": "final", "arguments": {"text": " "}, '
    '"expect": {"outcome": "FAILED", "error": "Validation.Input"}}\n',
}
NUMBERS: Iterator[int] = count()


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / f"authors_blocks_{next(NUMBERS)}"  # a name of its own: imported modules stay
    (package / "echo").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for name, text in FILES.items():
        (package / "echo" / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return package / "echo"


def check(folder: Path) -> None:
    check_block(Registry.load(folder.parent.name), "ECHO")


def test_the_block_of_the_page_passes(folder: Path) -> None:
    check(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("README.md", "Repeating is safe. ", "", "no word on Repeating"),
        ("README.md", "# ECHO", "# Echo", "starts with its type"),
        ("examples.jsonl", '"retryable"', '"good"', "need the kinds"),
        ("examples.jsonl", '{"text": "x"}}}', '{"text": "y"}}}', "a: output is"),
        ("examples.jsonl", '"Validation.Input"', '"Task.Failed"', "c: the error is Validation.Input"),
        ("examples.jsonl", '"name": "a", ', "", "line 1 of"),
        ("runner.py", "Repeating it has no effect.", "", "must say what a repeat does"),
        ("runner.py", 'title="Text", ', "", "the argument text of ECHO has no title"),
        (
            "runner.py",
            "(text=arguments.text)",
            "(text=str(id(object())) + str(attempt) + arguments.text)",
            "a: output is",
        ),
        ("block.toml", 'type = "ECHO"', 'type = "ECHO"\nneeds = ["mailer"]', "takes []"),
        ("block.toml", 'type = "ECHO"', 'type = "ECHO"\nui = {nope = "text"}', "aren't arguments"),
    ],
)
def test_the_suite_notices(folder: Path, file: str, old: str, new: str, complaint: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(SuiteError, match=re.escape(complaint)):
        check(folder)


def test_the_suite_notices_a_missing_file(folder: Path) -> None:
    (folder / "README.md").unlink()
    with pytest.raises(SuiteError, match=r"has no README\.md"):
        check(folder)


def test_the_suite_notices_a_repeat_that_differs(folder: Path) -> None:
    text = (folder / "runner.py").read_text()
    told = text.replace(
        "        return succeeded", "        type(self).n = getattr(self, 'n', 0) + 1\n        return succeeded"
    )
    (folder / "runner.py").write_text(told.replace("text=arguments.text", "text=arguments.text + str(self.n)"))
    examples = (folder / "examples.jsonl").read_text()
    (folder / "examples.jsonl").write_text(examples.replace('{"text": "x"}}}', '{"text": "x1"}}}', 1))
    with pytest.raises(SuiteError, match="a repeat of the same dispatch gave another result"):
        check(folder)
