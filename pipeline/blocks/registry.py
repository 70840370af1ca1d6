"""The installed blocks: what the palette, the validation, the manifests and the runners know them by."""

import importlib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any, Final, Self

from pydantic import BaseModel, ValidationError

from pipeline.blocks.builtin import BUILTINS
from pipeline.blocks.contract import Arguments, Runner
from pipeline.blocks.manifest import Manifest, parse_manifest
from pipeline.blocks.secrets import secret_arguments
from pipeline.blocks.sentences import findings
from pipeline.core.errors import BlocklineError, Problem

MANIFEST_FILE: Final = "block.toml"
SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_RESULTS: Final = ("SUCCESS", "FAILURE", "TIMED_OUT", "FAILED_ANY", "COMPLETED", "DONE")
_RESULTS_HUMAN: Final = ("APPROVED", "REJECTED", "EXPIRED", "FAILED_ANY", "COMPLETED", "DONE")


class RegistryError(BlocklineError):
    """A block that isn't installed, or isn't in order; the sentence names it."""


@dataclass(frozen=True)
class Block:
    """One installed block; ``module`` is its folder as a package (``udfs.runners.pass_``)."""

    manifest: Manifest
    module: str

    @cached_property
    def runner_type(self) -> type[Runner[Any, Any]]:
        """The one class of ``<module>.runner`` that is a Runner; imported when it is first asked for.

        Raises:
            RegistryError: there is none, or more than one.
        """
        module = importlib.import_module(f"{self.module}.runner")
        found = [
            value
            for value in vars(module).values()
            if inspect.isclass(value) and issubclass(value, Runner) and value.__module__ == module.__name__
        ]
        if len(found) != 1:
            raise RegistryError(f"{self.module}.runner must have one class of Runner, it has {len(found)}")
        return found[0]


class Registry:
    """The installed blocks by type; immutable, cheap to ask, may be shared between threads."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        """``blocks`` have types of their own.

        Raises:
            RegistryError: a type is there twice, or is one that the state machine decides itself.
        """
        self._blocks: dict[str, Block] = {}
        for block in sorted(blocks, key=lambda block: block.manifest.type):
            block_type = block.manifest.type
            if block_type in self._blocks or block_type in BUILTINS:
                raise RegistryError(f"the type {block_type} is there twice, the second time in {block.module}")
            self._blocks[block_type] = block
        self._descriptions: dict[str, dict[str, Any]] = {}

    @classmethod
    def load(cls, package: str) -> Self:
        """All folders of ``package`` with a ``block.toml``; runners are imported only when they are needed.

        Raises:
            ManifestError: a manifest is wrong.
            RegistryError: as in the constructor.
        """
        folders = sorted(
            (folder for folder in resources.files(package).iterdir() if folder.is_dir()), key=lambda folder: folder.name
        )
        return cls(
            Block(parse_manifest(file.read_text(encoding="utf-8"), folder.name), f"{package}.{folder.name}")
            for folder in folders
            if (file := folder / MANIFEST_FILE).is_file()
        )

    def types(self) -> tuple[str, ...]:
        """Every type a task may have, sorted: the installed ones and the blocks of control."""
        return tuple(sorted([*self._blocks, *BUILTINS]))

    def runner_types(self) -> tuple[str, ...]:
        """The types that have a vertex, sorted."""
        return tuple(self._blocks)

    def block(self, block_type: str) -> Block:
        """The installed block of that type.

        Raises:
            RegistryError: there is none.
        """
        block = self._blocks.get(block_type)
        if block is None:
            raise RegistryError(f"no block of type {block_type} is installed; there are {', '.join(self._blocks)}")
        return block

    def manifest(self, block_type: str) -> Manifest:
        """The manifest of an installed block; raises as :meth:`block`."""
        return self.block(block_type).manifest

    def is_human(self, block_type: str) -> bool:
        """Whether tasks of this type end APPROVED or REJECTED; False for a type that isn't there."""
        return block_type in self._blocks and self._blocks[block_type].manifest.is_human

    def expressions(self, block_type: str) -> Mapping[str, str]:
        """The arguments that are expressions, by their path: ``condition`` or ``value``; of any type."""
        return self._blocks[block_type].manifest.expressions if block_type in self._blocks else {}

    def secret_arguments(self, block_type: str) -> Collection[str]:
        """The arguments in which templates may name secrets; none of a type whose manifest doesn't ask for them."""
        block = self._blocks.get(block_type)
        if block is None or not block.manifest.has_secrets:
            return ()
        return secret_arguments(block.runner_type.arguments_type)

    def create(self, block_type: str, ports: Mapping[str, Any]) -> Runner[Any, Any]:
        """A runner, with the ports that its manifest needs.

        Raises:
            RegistryError: the type isn't installed, or a port it needs isn't among ``ports``.
        """
        block = self.block(block_type)
        missing = [name for name in block.manifest.needs if name not in ports]
        if missing:
            raise RegistryError(f"{block_type} needs {', '.join(missing)}, which this process doesn't have")
        return block.runner_type(**{name: ports[name] for name in block.manifest.needs})

    def defaults(self, types: Iterable[str]) -> dict[str, dict[str, Any]]:
        """What a run's request keeps of the manifests, by type: ``lease_ms``, ``timeout_s``, ``retry``.

        Types without a vertex are left out, so the types of a spec can be given as they are.

        Raises:
            RegistryError: a type isn't installed.
        """
        return {
            block_type: {
                "lease_ms": round(manifest.lease_seconds * 1000),
                "timeout_s": manifest.timeout_seconds,
                "retry": manifest.retry_json,
                **({"expressions": manifest.expressions} if manifest.expressions else {}),
            }
            for block_type in sorted(set(types) - BUILTINS.keys())
            for manifest in (self.manifest(block_type),)
        }

    def check_arguments(
        self, block_type: str, arguments: Mapping[str, Any], is_template: Callable[[Any], bool]
    ) -> list[Problem]:
        """Everything that is certainly wrong with a task's unresolved arguments; pointers start at the arguments.

        ``is_template`` tells strings whose value is known at dispatch only. A type that isn't there has no problems
        here: the caller says that.
        """
        model = self._arguments_type(block_type)
        if model is None:
            return []
        value = dict(arguments)
        try:
            model.model_validate(value)
        except ValidationError as error:
            return [
                Problem(finding.pointer, f"Arguments.{finding.code}", finding.sentence)
                for finding in findings(error, model, value, is_template)
            ]
        return []

    def describe(self, block_type: str) -> dict[str, Any]:
        """The palette's entry of a type: manifest, JSON Schemas (2020-12) of arguments and output, ports.

        Raises:
            RegistryError: the type isn't there.
        """
        if block_type not in self._descriptions:
            builtin = BUILTINS.get(block_type)
            self._descriptions[block_type] = (
                _describe_builtin(block_type) if builtin else _describe(self.block(block_type))
            )
        return self._descriptions[block_type]

    def _arguments_type(self, block_type: str) -> type[Arguments] | None:
        if block_type in BUILTINS:
            return BUILTINS[block_type].arguments_type
        block = self._blocks.get(block_type)
        return block.runner_type.arguments_type if block else None


def _describe(block: Block) -> dict[str, Any]:
    manifest = block.manifest
    runner = block.runner_type
    return {
        "type": manifest.type,
        "title": manifest.title,
        "summary": manifest.summary,
        "category": manifest.category,
        "icon": manifest.icon,
        "owners": list(manifest.owners),
        "stability": manifest.stability,
        "delivery": manifest.delivery,
        "capabilities": list(manifest.capabilities),
        "is_human": manifest.is_human,
        "timeout_s": manifest.timeout_seconds,
        "lease_s": manifest.lease_seconds,
        "retry": manifest.retry_json,
        "arguments": _schema(runner.arguments_type, "validation"),
        "output": _schema(runner.output_type, "serialization"),
        "ui": _hints(runner.arguments_type, manifest.ui),
        "ports": list(_RESULTS_HUMAN if manifest.is_human else _RESULTS),
    }


def _describe_builtin(block_type: str) -> dict[str, Any]:
    builtin = BUILTINS[block_type]
    return {
        "type": block_type,
        "title": builtin.title,
        "summary": builtin.summary,
        "category": builtin.category,
        "icon": builtin.icon,
        "owners": ["blockline"],
        "stability": "stable",
        "delivery": "pure",
        "capabilities": [],
        "is_human": False,
        "timeout_s": None,
        "lease_s": None,
        "retry": [],
        "arguments": _schema(builtin.arguments_type, "validation"),
        "output": {"$schema": SCHEMA_DIALECT, **builtin.output},
        "ui": _hints(builtin.arguments_type, builtin.ui),
        "ports": list(builtin.ports),
        **({} if builtin.cases is None else {"cases": builtin.cases}),
    }


def _schema(model: type[BaseModel], mode: Any) -> dict[str, Any]:
    return {"$schema": SCHEMA_DIALECT, **model.model_json_schema(mode=mode)}


def _hints(model: type[BaseModel], widgets: Mapping[str, str]) -> dict[str, Any]:
    names = list(model.model_json_schema().get("properties", {}))
    return {"order": names, "widgets": dict(widgets)}
