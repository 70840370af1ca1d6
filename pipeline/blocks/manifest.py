"""``block.toml``: what everyone but the runner needs to know of a block."""

import tomllib
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.blocks.sentences import findings
from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.core.limits import DISPATCH_LEASE_MAX_MS, DISPATCH_LEASE_MS

TIMEOUT_S_MAX: Final = 3600
"""Of one attempt by default: what takes longer waits (WAITING) instead of working."""
REPLICAS_MAX: Final = 50
THREAD_NEEDS: Final = frozenset({"public_url"})
"""What a block in a thread of its own may be handed: values, no ports of the other loop."""

ErrorPattern = Annotated[str, Field(pattern="^(" + "|".join(["Task.ALL", *ErrorName]).replace(".", r"\.") + ")$")]


class ManifestError(BlocklineError):
    """A ``block.toml`` that says something wrong; one sentence for each thing."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ManifestRetrier(_Part):
    """One default retrier, in the words of the spec language."""

    errorEquals: tuple[ErrorPattern, ...] = Field(min_length=1)  # noqa: N815  (the language's own word)
    intervalSeconds: float = Field(default=1, ge=0)  # noqa: N815  (likewise)
    maxAttempts: int = Field(default=3, ge=0)  # noqa: N815  (likewise)
    backoffRate: float = Field(default=2.0, ge=1)  # noqa: N815  (likewise)
    maxDelaySeconds: float | None = Field(default=None, gt=0)  # noqa: N815  (likewise)
    jitterStrategy: Literal["NONE", "FULL"] = "NONE"  # noqa: N815  (likewise)


class Replicas(_Part):
    """How far the block's vertex scales."""

    min: int = Field(default=1, ge=0, le=REPLICAS_MAX)
    max: int = Field(default=8, ge=1, le=REPLICAS_MAX)


class Manifest(_Part):
    """A block's manifest.

    ``delivery`` says what a repeated attempt does outside: ``pure`` has no outside effect, ``once`` happens once by
    the effect key, ``at-least-once`` may happen again. ``needs`` are the ports handed to the runner's constructor,
    ``capabilities`` what the engine gives or allows (``human``: its task waits for people; ``mail``: it gets the mail
    server's secret; ``catalog``: it reaches Atlas; ``secrets``: templates in its ``writeOnly`` arguments may name
    secrets). ``expressions`` names arguments that are CEL, by their path
    (``approvers.expression``), or that stand for the asset's owners where they are true: the first step of a task gets
    their value. ``ui`` maps an argument to the widget that edits it. ``blocking`` says that ``run`` may compute or wait
    for long without ``await``: on one machine it gets a thread of its own, so its ``needs`` are values only.
    """

    type: str = Field(pattern="^[A-Z][A-Z0-9]*$", max_length=32)
    title: str = Field(min_length=1, max_length=40)
    summary: str = Field(min_length=1, max_length=200)
    category: Literal["Control", "People", "Data", "Systems"]
    icon: str = Field(pattern="^[a-z][a-z0-9-]*$")
    owners: tuple[str, ...] = Field(min_length=1)
    stability: Literal["experimental", "beta", "stable"]
    delivery: Literal["pure", "once", "at-least-once"]
    lease_seconds: float = Field(default=DISPATCH_LEASE_MS / 1000, ge=5, le=DISPATCH_LEASE_MAX_MS / 1000)
    timeout_seconds: float = Field(gt=0, le=TIMEOUT_S_MAX)
    retry: tuple[ManifestRetrier, ...] = ()
    capabilities: tuple[Literal["catalog", "human", "mail", "secrets"], ...] = ()
    needs: tuple[str, ...] = ()
    replicas: Replicas = Replicas()
    blocking: bool = False
    expressions: dict[str, Literal["condition", "value", "owners"]] = Field(default_factory=dict)
    ui: dict[str, Literal["text", "textarea", "markdown", "people", "duration", "json"]] = Field(default_factory=dict)

    @property
    def is_human(self) -> bool:
        """Whether the task waits for people: it may end APPROVED or REJECTED."""
        return "human" in self.capabilities

    @property
    def has_secrets(self) -> bool:
        """Whether its vertex is given the secrets that templates name."""
        return "secrets" in self.capabilities

    @property
    def retry_json(self) -> list[dict[str, Any]]:
        """The default retriers in the spec language's form, every member written out."""
        return [retrier.model_dump(mode="json", exclude_none=True) for retrier in self.retry]


def parse_manifest(text: str, where: str) -> Manifest:
    """The manifest of a ``block.toml``; ``where`` names the block in errors.

    Raises:
        ManifestError: not TOML, or something in it is wrong; all of it is named.
    """
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"block.toml of {where} isn't TOML: {error}") from None
    try:
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        said = "; ".join(finding.sentence for finding in findings(error, Manifest, value))
        raise ManifestError(f"block.toml of {where}: {said}") from None
    if manifest.replicas.min > manifest.replicas.max:
        raise ManifestError(f"block.toml of {where}: replicas.min is more than replicas.max")
    if manifest.blocking and set(manifest.needs) - THREAD_NEEDS:
        ports = ", ".join(sorted(set(manifest.needs) - THREAD_NEEDS))
        raise ManifestError(f"block.toml of {where}: blocking = true has no {ports}: a port belongs to another thread")
    return manifest
