"""The suite that every block must pass; authors of blocks run it over their own package.

A block's ``examples.jsonl`` has one JSON object a line: ``name``; ``kind`` (``good``, the default, ``retryable`` or
``final``); ``arguments``; optionally ``requester``, ``asset``, ``step``, ``cause``, ``state``; ``world``, which
describes the fakes behind the block's ports; and ``expect``: ``outcome`` and whichever of ``output``, ``changes``,
``state``, ``continue_at``, ``continue_cause`` and ``error`` (a name) matter.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, TypeVar

from jsonschema import Draft202012Validator
from pydantic import BaseModel

from pipeline.blocks.catalog import CatalogAsset, CatalogRefusedError, CatalogUnavailableError
from pipeline.blocks.registry import Block, Registry
from pipeline.blocks.secrets import secret_arguments
from pipeline.blocks.shell import NoTimeLimit, OverTimeError, RunnerShell, TimeLimit
from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.core.limits import ERROR_MESSAGE_CHARS_MAX
from pipeline.directory.port import Person
from pipeline.mail.memory import MemoryMailer
from pipeline.messages.canonical import decode, encode
from pipeline.messages.envelopes import Dispatch, Requester, Result, parse_shard_input
from pipeline.messages.tagged import shard_tag
from pipeline.store.typedefs import shipped_kind
from pipeline.web.memory import MemoryAnswer, MemoryWebClient

T = TypeVar("T")
EXAMPLE_AT_MS: Final = 1_795_439_555_000
"""The time stored with the dispatch of every example."""
KINDS: Final = frozenset({"good", "retryable", "final"})
FILES: Final = ("__init__.py", "block.toml", "runner.py", "examples.jsonl", "README.md")
_SHARD: Final = 3


class SuiteError(AssertionError):
    """A block that doesn't keep what the suite asks; the text says what and how to mend it."""


@dataclass(frozen=True, slots=True)
class Example:
    """One line of ``examples.jsonl``."""

    name: str
    kind: str
    arguments: Mapping[str, Any]
    expect: Mapping[str, Any]
    world: Mapping[str, Any]
    requester: str = "requester"
    asset: Mapping[str, Any] | None = None
    step: int = 0
    cause: str | None = None
    state: Mapping[str, Any] | None = None

    def dispatch(self, block_type: str) -> Dispatch:
        """The dispatch of this example; the same each time."""
        return Dispatch(
            run_guid="11111111-2222-3333-4444-555555555555",
            run_name="blockline/runs/example",
            workflow="example",
            task="the task",
            type=block_type,
            step=self.step,
            cause=self.cause,
            arguments=dict(self.arguments),
            state=None if self.state is None else dict(self.state),
            requester=Requester(name=self.requester, email=f"{self.requester}@example.com"),
            asset=None if self.asset is None else dict(self.asset),
            timeout_s=5,
            dispatched_at=EXAMPLE_AT_MS,
            valid_until=EXAMPLE_AT_MS + 60_000,
            shard=_SHARD,
        )


class ExampleClock:
    """Stands still."""

    def now_ms(self) -> int:
        """See :class:`pipeline.core.clock.Clock`."""
        return EXAMPLE_AT_MS + 250

    def monotonic_s(self) -> float:
        """See :class:`pipeline.core.clock.Clock`."""
        return 1.0

    async def sleep(self, seconds: float) -> None:
        """See :class:`pipeline.core.clock.Clock`; nothing waits in an example."""
        del seconds


class ExampleDirectory:
    """People of a world: ``users`` (name to address or null), ``groups`` (name to users; null where the members aren't
    known), ``directory: "away"``.
    """

    def __init__(self, world: Mapping[str, Any]) -> None:
        """``world`` is that of the example."""
        self._users: Mapping[str, str | None] = world.get("users", {})
        self._groups: Mapping[str, list[str] | None] = world.get("groups", {})
        self._is_away = world.get("directory") == "away"

    async def person(self, name: str) -> Person | None:
        """See :class:`pipeline.directory.port.Directory`."""
        self._answer()
        groups = tuple(sorted(group for group, members in self._groups.items() if name in (members or ())))
        return Person(name, self._users[name], groups) if name in self._users else None

    async def members(self, group: str) -> Sequence[Person] | None:
        """See :class:`pipeline.directory.port.Directory`."""
        self._answer()
        members = self._groups.get(group)
        if members is None:
            return None
        return [Person(name, self._users.get(name), (group,)) for name in members]

    async def has_unknown_members(self, group: str) -> bool:
        """See :class:`pipeline.directory.port.Directory`."""
        self._answer()
        return group in self._groups and self._groups[group] is None

    async def search(self, text: str, *, kind: str, limit: int) -> Sequence[str]:
        """See :class:`pipeline.directory.port.Directory`."""
        self._answer()
        names = self._users if kind == "user" else self._groups
        return sorted(name for name in names if text in name)[:limit]

    def _answer(self) -> None:
        if self._is_away:
            raise BlocklineError("the directory of people doesn't answer")


class ExampleCatalog:
    """Assets of a world: ``assets`` (a list of ``{"guid", "typeName", "qualifiedName", "attributes"}`` and, where it
    matters, ``classifications``, ``customAttributes``, ``terms``), ``catalog: "away"``. Types are those the project
    ships.
    """

    def __init__(self, world: Mapping[str, Any]) -> None:
        """``world`` is that of the example."""
        self._assets: Sequence[Mapping[str, Any]] = world.get("assets", ())
        self._is_away = world.get("catalog") == "away"

    async def asset(
        self, *, guid: str | None = None, type_name: str | None = None, qualified_name: str | None = None
    ) -> CatalogAsset | None:
        """See :class:`pipeline.blocks.catalog.Catalog`."""
        if self._is_away:
            raise CatalogUnavailableError("the catalog doesn't answer")
        for given in self._assets:
            if guid == given["guid"] or (type_name, qualified_name) == (given["typeName"], given["qualifiedName"]):
                return _asset(given)
        return None


def _asset(given: Mapping[str, Any]) -> CatalogAsset:
    kind = shipped_kind(given["typeName"])
    if kind is None or kind.is_engines:
        raise CatalogRefusedError(f"{given['guid']} is a {given['typeName']}, which nobody reads here.")
    return CatalogAsset(
        guid=given["guid"],
        type_name=given["typeName"],
        qualified_name=given["qualifiedName"],
        attributes=given["attributes"],
        known=frozenset(kind.attributes),
        classifications=given.get("classifications", {}),
        custom_attributes=given.get("customAttributes", {}),
        terms=tuple(given.get("terms", ())),
    )


class NoTime:
    """Every attempt takes too long (``world: {"time": "over"}``)."""

    async def within(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """See :class:`pipeline.blocks.shell.TimeLimit`."""
        del timeout_s
        work.close()
        raise OverTimeError


Ports = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def example_ports(world: Mapping[str, Any]) -> dict[str, Any]:
    """The fakes for the ports of the installed blocks; a package with other ports adds its own to these."""
    refused = frozenset({"*"}) if world.get("mail") == "refuses" else frozenset[str]()
    answers = world.get("web", [])
    return {
        "directory": ExampleDirectory(world),
        "mailer": MemoryMailer(is_away=world.get("mail") == "away", refused=refused),
        "public_url": "",
        "catalog": ExampleCatalog(world),
        "web": MemoryWebClient(is_away=True) if answers == "away" else MemoryWebClient(map(_web_answer, answers)),
    }


def _web_answer(said: Mapping[str, Any]) -> MemoryAnswer:
    return MemoryAnswer(said.get("status", 200), said.get("headers", {}), said.get("body", "").encode())


def examples_of(block: Block) -> list[Example]:
    """The block's examples, in the order of the file.

    Raises:
        SuiteError: a line isn't an example.
    """
    text = (resources.files(block.module) / "examples.jsonl").read_text(encoding="utf-8")
    examples = []
    for number, line in enumerate(text.splitlines(), start=1):
        body = decode(line)
        try:
            examples.append(Example(**{"kind": "good", "world": {}, **body}))
        except TypeError as error:
            raise SuiteError(f"line {number} of {block.module}/examples.jsonl: {error}") from None
    return examples


def check_folder(block: Block) -> None:
    """The files are there, the README says what a reader looks for, and the examples cover the three kinds."""
    folder = resources.files(block.module)
    for name in FILES:
        _ask((folder / name).is_file(), f"{block.module} has no {name}")
    readme = (folder / "README.md").read_text(encoding="utf-8")
    _ask(readme.startswith(f"# {block.manifest.type}\n"), f"README.md of {block.module} starts with its type")
    for word in ("Repeating", "Errors"):
        _ask(word.lower() in readme.lower(), f"README.md of {block.module} has no word on {word}")
    kinds = {example.kind for example in examples_of(block)}
    _ask(kinds == KINDS, f"examples of {block.module} need the kinds {sorted(KINDS)}; they have {sorted(kinds)}")


def check_contract(block: Block) -> None:
    """Arguments are frozen and refuse unknown keys, every argument is explained, the ports are as declared."""
    runner = block.runner_type
    for model in (runner.arguments_type, runner.output_type):
        _ask(bool(model.model_config.get("frozen")), f"{model.__name__} must be frozen")
    _ask(runner.arguments_type.model_config.get("extra") == "forbid", "arguments must refuse unknown keys")
    for name, field in runner.arguments_type.model_fields.items():
        shown = (field.alias or name) in runner.arguments_type.model_json_schema().get("properties", {})
        _ask(not shown or bool(field.title), f"the argument {name} of {block.manifest.type} has no title")
    _ask(bool(runner.__doc__) and "epeat" in (runner.__doc__ or ""), f"{runner.__name__} must say what a repeat does")
    # __init__ of a plain Runner takes nothing.
    takes = set(inspect.signature(runner).parameters)
    _ask(takes == set(block.manifest.needs), f"{runner.__name__} takes {sorted(takes)}, its manifest says otherwise")
    keeps = secret_arguments(runner.arguments_type)
    _ask(
        bool(keeps) == block.manifest.has_secrets,
        f"{block.manifest.type} needs the capability secrets exactly if an argument of it is writeOnly",
    )
    unknown = set(block.manifest.ui) - set(runner.arguments_type.model_json_schema().get("properties", {}))
    _ask(not unknown, f"[ui] of {block.manifest.type} names {sorted(unknown)}, which aren't arguments")


def check_schema(registry: Registry, block_type: str) -> None:
    """The schemas are JSON Schema 2020-12, and the same each time."""
    description = registry.describe(block_type)
    for part in ("arguments", "output"):
        Draft202012Validator.check_schema(description[part])
    again = Registry.load(registry.block(block_type).module.rpartition(".")[0]).describe(block_type)
    _ask(encode(description) == encode(again), f"the description of {block_type} changes from one time to the next")


def run_example(block: Block, example: Example, ports: Ports = example_ports) -> Result:
    """Run one example through the shell as a vertex does, twice over the same world; both results are the same.

    Raises:
        SuiteError: it isn't what the example expects, or the repeat differs, or did something outside again.
    """
    fakes = ports(example.world)
    manifest = block.manifest
    runner = block.runner_type(**{name: fakes[name] for name in manifest.needs})
    limit: TimeLimit = NoTime() if example.world.get("time") == "over" else NoTimeLimit()
    shell = RunnerShell(runner, manifest, ExampleClock(), time_limit=limit)
    payload = example.dispatch(manifest.type).encode()
    first = asyncio.run(shell.handle(payload))
    effects = _effects(fakes)
    second = asyncio.run(shell.handle(payload))
    _ask(first is not None and first.tag == shard_tag(_SHARD), f"{example.name}: no result for the run's shard")
    _ask(first == second, f"{example.name}: a repeat of the same dispatch gave another result")
    if manifest.delivery != "at-least-once":
        _ask(_effects(fakes) == effects, f"{example.name}: a repeat did something outside again")
    assert first is not None  # noqa: S101  (asked above)
    result = parse_shard_input(first.payload)
    assert isinstance(result, Result)  # noqa: S101  (a shell sends nothing else to a shard)
    _compare(example, result)
    if result.output is not None:
        _check_output(block, result.output)
    return result


def check_examples_validate(registry: Registry, block: Block) -> None:
    """Static validation agrees with the examples: it finds nothing in those that work."""
    for example in examples_of(block):
        if example.expect.get("error") == ErrorName.VALIDATION_INPUT:
            continue
        problems = registry.check_arguments(block.manifest.type, example.arguments, lambda _: False)
        _ask(not problems, f"{example.name}: {'; '.join(problem.detail for problem in problems)}")


def check_block(registry: Registry, block_type: str, ports: Ports = example_ports) -> None:
    """All of the above for one block.

    Raises:
        SuiteError: the first thing that isn't in order.
    """
    block = registry.block(block_type)
    check_folder(block)
    check_contract(block)
    check_schema(registry, block_type)
    check_examples_validate(registry, block)
    for example in examples_of(block):
        run_example(block, example, ports)


def _effects(fakes: Mapping[str, Any]) -> int:
    mailer, web = fakes.get("mailer"), fakes.get("web")
    mails = len(mailer.mails) if isinstance(mailer, MemoryMailer) else 0
    return mails + (len(web.done) if isinstance(web, MemoryWebClient) else 0)


def _compare(example: Example, result: Result) -> None:
    expected = dict(example.expect)
    error_name = expected.pop("error", None)
    given = result.model_dump(mode="json")
    for member, value in expected.items():
        _ask(given.get(member) == value, f"{example.name}: {member} is {given.get(member)!r}, expected {value!r}")
    found = result.error.name if result.error else None
    _ask(found == error_name, f"{example.name}: the error is {found}, expected {error_name}")
    if result.error is not None:
        message = result.error.message
        _ask(0 < len(message) <= ERROR_MESSAGE_CHARS_MAX, f"{example.name}: an error needs a sentence")
        _ask("Traceback" not in message, f"{example.name}: a stack trace isn't for people")


def _check_output(block: Block, output: Any) -> None:
    model: type[BaseModel] = block.runner_type.output_type
    schema = model.model_json_schema(mode="serialization")
    wrong = [error.message for error in Draft202012Validator(schema).iter_errors(output)]
    _ask(not wrong, f"the output of {block.manifest.type} doesn't fit its schema: {'; '.join(wrong)}")


def _ask(is_so: bool, otherwise: str) -> None:  # noqa: FBT001  (a condition, like assert's)
    if not is_so:
        raise SuiteError(otherwise)
