"""What a Numaflow Pipeline may say so that the plane can do it: its parts, with Numaflow's own words and defaults.

What a cluster alone cares about (images, resources, the buffer service) is skipped by name; a name that isn't here is
refused, so that no manifest runs here with another meaning. Source: the CRD of Numaflow 1.8 (``pipelines.numaflow``).
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")


def _seconds(text: Any) -> float:
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise ValueError("a duration looks like 5ms, 1s or 1m30s")
    return sum(float(number) * _UNITS_S[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))


Seconds = Annotated[float, BeforeValidator(_seconds)]


Integer = Annotated[int, Field(strict=True)]
Whole = Annotated[Integer | None, Field(ge=0)]

REPLICAS_MAX: Final = 64
"""Of one vertex in one process; beyond that a manifest means a cluster."""


class Part(BaseModel):
    """Refuses names that it doesn't know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RateLimit(Part):
    """Messages a second of a whole vertex: ``min`` at its start, ``max`` after ``rampUpDuration``."""

    max: Integer = Field(ge=1)
    min: Integer = Field(1, ge=1)
    ramp_up_s: Seconds = Field(1.0, alias="rampUpDuration")

    @model_validator(mode="after")
    def _rises(self) -> "RateLimit":
        if self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class Limits(Part):
    """How much a vertex reads, works on and holds; what is None is the pipeline's, or Numaflow's default."""

    read_batch_size: Integer | None = Field(None, alias="readBatchSize", ge=1)
    read_timeout_s: Seconds | None = Field(None, alias="readTimeout")
    concurrency: Integer | None = Field(None, ge=1)
    buffer_max_length: Integer | None = Field(None, alias="bufferMaxLength", ge=1)
    buffer_usage_limit: Integer | None = Field(None, alias="bufferUsageLimit", ge=1, le=100)
    rate_limit: RateLimit | None = Field(None, alias="rateLimit")


NO_LIMITS: Final = Limits.model_validate({})


class UserDefined(Part):
    """A server of ours; its container is started by a cluster, or as a process of its own."""

    container: dict[str, Any]


class Source(Part):
    """Where messages come from."""

    udsource: UserDefined


class Backoff(Part):
    """Waits between the tries of a sink's message."""

    interval_s: Seconds = Field(0.001, alias="interval")
    factor: float = Field(1.0, ge=1)
    cap_s: Seconds | None = Field(None, alias="cap")
    jitter: float = Field(0.0, ge=0, le=1)


NO_BACKOFF: Final = Backoff.model_validate({})


class RetryStrategy(Part):
    """A sink's; only endless tries keep a message."""

    backoff: Backoff = NO_BACKOFF
    on_failure: Literal["retry"] = Field("retry", alias="onFailure")


class FurtherSink(Part):
    """A sink behind a sink: what that gives up, or what it asks to be told of once it has succeeded."""

    udsink: UserDefined


class Sink(Part):
    """Where messages end, and the sinks behind it."""

    udsink: UserDefined
    fallback: FurtherSink | None = None
    on_success: FurtherSink | None = Field(None, alias="onSuccess")
    retry_strategy: RetryStrategy = Field(RetryStrategy.model_validate({}), alias="retryStrategy")


class Variable(Part):
    """An environment variable."""

    name: str
    value: str = ""


class ContainerTemplate(Part):
    """What Numaflow's own container of a vertex is told."""

    env: tuple[Variable, ...] = ()
    resources: dict[str, Any] = {}


class Scale(Part):
    """``min`` replicas run here, one where it says 0; more than that (``max``) would only share the same two hands."""

    disabled: bool = False
    min: Integer | None = Field(None, ge=0, le=REPLICAS_MAX)
    max: Integer | None = Field(None, ge=0)
    lookback_seconds: Whole = Field(None, alias="lookbackSeconds")
    target_processing_seconds: Whole = Field(None, alias="targetProcessingSeconds")
    target_buffer_availability: Whole = Field(None, alias="targetBufferAvailability")
    replicas_per_scale: Whole = Field(None, alias="replicasPerScale")
    replicas_per_scale_up: Whole = Field(None, alias="replicasPerScaleUp")
    replicas_per_scale_down: Whole = Field(None, alias="replicasPerScaleDown")
    scale_up_cooldown_seconds: Whole = Field(None, alias="scaleUpCooldownSeconds")
    scale_down_cooldown_seconds: Whole = Field(None, alias="scaleDownCooldownSeconds")
    zero_replica_sleep_seconds: Whole = Field(None, alias="zeroReplicaSleepSeconds")

    @model_validator(mode="after")
    def _rises(self) -> "Scale":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max")
        return self


NO_SCALE: Final = Scale.model_validate({})


class Vertex(Part):
    """One of source, udf and sink."""

    name: str
    source: Source | None = None
    udf: UserDefined | None = None
    sink: Sink | None = None
    limits: Limits = NO_LIMITS
    partitions: Literal[1] = 1
    container_template: ContainerTemplate = Field(ContainerTemplate(), alias="containerTemplate")
    scale: Scale = NO_SCALE
    volumes: list[Any] = []
    service_account_name: str = Field("", alias="serviceAccountName")
    """Places and rights of a cluster; a process here has its settings instead."""
    metadata: dict[str, Any] = {}


class Tags(Part):
    """Which tags an edge asks for."""

    operator: Literal["or", "and", "not"] = "or"
    values: tuple[str, ...]


class Conditions(Part):
    """When a message takes an edge."""

    tags: Tags


class Edge(Part):
    """From one vertex to another."""

    from_vertex: str = Field(alias="from")
    to_vertex: str = Field(alias="to")
    conditions: Conditions | None = None
    on_full: Literal["retryUntilSuccess", "discardLatest"] = Field("retryUntilSuccess", alias="onFull")


class Watermark(Part):
    """Off: nothing here goes by event time."""

    disabled: Literal[True]


class Spec(Part):
    """What a Pipeline asks for."""

    buffer_service: str | None = Field(None, alias="interStepBufferServiceName")
    watermark: Watermark
    limits: Limits = NO_LIMITS
    vertices: tuple[Vertex, ...] = Field(min_length=1)
    edges: tuple[Edge, ...] = ()
