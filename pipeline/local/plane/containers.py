"""The containers of a rendered manifest, as far as a process on this machine needs to know them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.local.plane.manifest import ManifestError, pipeline_of
from pipeline.local.plane.plane import fallback_of, on_success_of


@dataclass(frozen=True, slots=True)
class Container:
    """One container: what is started, the variables it is given, and the names of the maps and secrets whose keys are
    variables too, in their order.
    """

    vertex: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    sources: tuple[str, ...]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Named(_Part):
    name: str


class _Source(_Part):
    config_map: _Named | None = Field(None, alias="configMapRef")
    secret: _Named | None = Field(None, alias="secretRef")


class _Variable(_Part):
    name: str
    value: str


class _Container(_Part):
    command: tuple[str, ...] = Field(min_length=1)
    args: tuple[str, ...] = ()
    env: tuple[_Variable, ...] = ()
    env_from: tuple[_Source, ...] = Field((), alias="envFrom")


def containers(manifest: str) -> dict[str, Container]:
    """The container of each server of the manifest: by the vertex's name, a sink's fallback under
    :func:`~pipeline.local.plane.plane.fallback_of`, the sink of its successes under ``on_success_of``.

    Raises:
        ManifestError: one has no command, or a variable that only a cluster knows.
    """
    return {
        name: _container(name, vertex["name"], given)
        for vertex in pipeline_of(manifest)["spec"]["vertices"]
        for name, given in _given(vertex)
    }


def _given(vertex: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    name = vertex["name"]
    sink = vertex.get("sink") or {}
    for part in ((vertex.get("source") or {}).get("udsource"), vertex.get("udf"), sink.get("udsink")):
        if part is not None:
            yield name, part["container"]
    for key, called in (("fallback", fallback_of), ("onSuccess", on_success_of)):
        if key in sink:
            yield called(name), sink[key]["udsink"]["container"]


def _container(name: str, vertex: str, given: Any) -> Container:
    try:
        read = _Container.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ManifestError(f"the container of {name} can't be started here: {where}: {first['msg']}") from None
    sources = [source.config_map or source.secret for source in read.env_from]
    return Container(
        vertex=vertex,
        command=(*read.command, *read.args),
        environment={variable.name: variable.value for variable in read.env},
        sources=tuple(source.name for source in sources if source is not None),
    )
