"""What a command works with: its arguments, the environment, and where its words go."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import orjson

from cli.tables import table
from pipeline.core.errors import BlocklineError


class UsageError(BlocklineError):
    """The command was typed in a way that can't work."""

    exit_code = 2


class AnsweredError(BlocklineError):
    """The server refused; ``problem`` is its RFC 9457 answer."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        """``problem`` has at least ``detail``."""
        super().__init__(str(problem.get("detail") or problem.get("title") or "The server refused this."))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Context:
    """One command's world."""

    arguments: argparse.Namespace
    environment: Mapping[str, str]
    out: TextIO
    err: TextIO

    @property
    def is_json(self) -> bool:
        """Whether the answer is for a program."""
        return bool(self.arguments.json)

    def argument(self, name: str) -> Any:
        """A parsed argument; None where the command doesn't know it."""
        return getattr(self.arguments, name, None)

    def say(self, text: str = "") -> None:
        """A line for people."""
        print(text, file=self.out, flush=True)

    def data(self, value: Any, *, is_line: bool = False) -> None:
        """A value for programs; ``is_line``: one of many, each on a line of its own."""
        option = 0 if is_line else orjson.OPT_INDENT_2
        print(orjson.dumps(value, option=option).decode(), file=self.out, flush=True)

    def show(self, value: Any, rows: Sequence[Sequence[Any]], header: Sequence[str], *, none: str) -> None:
        """A list: ``value`` for programs, else a table of ``rows``, or the sentence ``none``."""
        if self.is_json:
            self.data(value)
        elif rows:
            self.say(table(header, rows))
        else:
            self.say(none)

    def complain(self, error: BlocklineError) -> None:
        """Say what went wrong, with all findings."""
        problem = getattr(error, "problem", None)
        if self.is_json:
            print(orjson.dumps(problem or {"detail": str(error)}).decode(), file=self.err)
            return
        findings = problem.get("errors", []) if problem else []
        if not findings:
            print(str(error), file=self.err)
        for line in finding_lines(findings):
            print(line, file=self.err)


def finding_lines(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a finding: where, then what."""
    return [f"{finding.get('pointer') or '/'}: {finding.get('detail')}" for finding in findings]
