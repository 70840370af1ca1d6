"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("pipeline", "udfs", "sources", "sinks", "api", "cli")
MODULE_LINES_MAX = 400
TRACKED = [
    ROOT / line
    for line in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607  (git is a prerequisite)
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    if (ROOT / line).is_file()
]
MODULES = [path for path in TRACKED if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in SHIPPED]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_modules_to_check() -> None:
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_fits_a_readers_head(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MODULE_LINES_MAX, f"{name(path)} has {lines} lines: split it by what changes together"


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=name)
def test_an_init_holds_a_docstring_at_most(path: Path) -> None:
    body = ast.parse(path.read_text()).body
    assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)
    assert ast.get_docstring(ast.parse(path.read_text())), f"say in {name(path)} what the package holds"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_is_named_for_nothing(path: Path) -> None:
    assert not {"utils", "util", "helpers", "helper", "common", "manager", "misc"} & set(
        path.with_suffix("").relative_to(ROOT).parts
    )


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_is_left_for_later(path: Path) -> None:
    later = re.findall(r"\b(?:TODO|FIXME|XXX)\b|NotImplementedError", path.read_text())
    assert not later, f"{name(path)} says {later}: build it, refuse it with a sentence, or leave it out"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_settings_are_read_in_main_alone(path: Path) -> None:
    if path.name == "__main__.py" or path.relative_to(ROOT).parts[:2] == ("pipeline", "process") or "cli" in path.parts:
        return
    source = path.read_text()
    assert "os.environ" not in source
    assert "getenv" not in source


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_one_module_reads_the_clock(path: Path) -> None:
    if path.relative_to(ROOT) == Path("pipeline/process/clock.py"):
        return
    reads = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "time.sleep"}
    ]
    assert not reads, f"{name(path)} reads the clock: {reads}"


def test_no_text_names_a_place_of_one_machine() -> None:
    own = Path(__file__).relative_to(ROOT)
    found = [
        f"{name(path)}: {match}"
        for path in TRACKED
        if path.suffix in {".py", ".md", ".toml", ".json", ".yaml", ".yml", ".txt", ".lock", ".jsonl", ""}
        and path.relative_to(ROOT) != own
        for match in re.findall(r"(?<![\w.])/(?:work|root|farm|home/\w+)/\S+", path.read_text(errors="replace"))
    ]
    assert not found


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text()
    assert [path.name for path in sorted(folder.glob("0*.md")) if f"({path.name})" not in index] == []
