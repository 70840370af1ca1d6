"""The catalog of :mod:`api.ports` over the installed blocks and the validation of the language."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.ports import Checked
from pipeline.blocks.registry import Registry
from pipeline.core.errors import Problem
from pipeline.spec.expressions import Evaluator
from pipeline.spec.input_schema import check_input
from pipeline.spec.validation import validate


class InstalledCatalog:
    """See :class:`api.ports.Catalog`; may be asked from several threads."""

    def __init__(self, registry: Registry, evaluator: Evaluator) -> None:
        """Nothing is loaded before it is asked for."""
        self._registry = registry
        self._evaluator = evaluator

    def check(self, spec: Any) -> Checked:
        """See the port."""
        report = validate(spec, self._registry, self._evaluator)
        return Checked(report.normalised, report.errors, report.warnings)

    def check_input(self, spec: Mapping[str, Any], value: Mapping[str, Any]) -> tuple[Problem, ...]:
        """See the port."""
        return tuple(check_input(spec.get("input"), value))

    def palette(self) -> Sequence[Mapping[str, Any]]:
        """See the port."""
        return [self._registry.describe(block_type) for block_type in self._registry.types()]

    def run_defaults(self, spec: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        """See the port; a type that is no longer installed has no defaults, and its task fails by name."""
        installed = set(self._registry.types())
        return self._registry.defaults({task["type"] for task in spec["dag"]["tasks"]} & installed)
