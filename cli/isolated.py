"""``blockline up --isolated``: what a cluster hands to the containers of the rendered manifest, on this machine."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from pipeline.core.clock import Clock
from pipeline.local.plane.containers import Container, containers
from pipeline.local.plane.plane import HostMaker
from pipeline.local.plane.processes import Command, ProcessHost
from pipeline.local.ports import free_port
from pipeline.process.settings import PREFIX, TRACE_VARIABLES, ServerSettings, secrets_folder
from pipeline.topology.values import Values

SOCKETS: Final = "BLOCKLINE_SOCKET_DIR"
INSIDE: Final = frozenset({"cdc"})
"""Vertices that stay in this process: events are read where they are committed, and acked there (ADR 26)."""
_PYTHON: Final = "python"
_SECRETS: Final = "BLOCKLINE_SECRETS_DIR"


@dataclass(frozen=True, slots=True)
class Account:
    """An address, and how to sign in there."""

    url: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What this machine has for its vertices. ``environment`` is this process' own, of which they get what isn't a
    setting of ours; ``address`` is our own port's, where people are asked for by ``token``.
    """

    settings: ServerSettings
    environment: Mapping[str, str] = field(repr=False)
    data: Path
    engine_key: bytes = field(repr=False)
    atlas: Account
    address: str
    public_url: str
    token: str = field(repr=False)

    def variables(self, container: Container, values: Values) -> dict[str, str]:
        """The environment of a container's process: no more secrets than the manifest names for it."""
        ours = {name: value for name, value in self.environment.items() if not name.startswith(PREFIX)}
        given = self._maps(values)
        for source in container.sources:
            ours |= given.get(source, {})
        ours |= container.environment
        if _SECRETS in container.environment:
            ours[_SECRETS] = str(secrets_folder(self.settings).absolute())
        settings = self.settings
        return ours | {
            "BLOCKLINE_LOG_LEVEL": settings.log_level,
            "BLOCKLINE_LOG_FORMAT": settings.log_format,
            **{name: self.environment[name] for name in TRACE_VARIABLES if name in self.environment},
            "NUMAFLOW_NAMESPACE": values.namespace,
            "NUMAFLOW_PIPELINE_NAME": values.name,
            "NUMAFLOW_VERTEX_NAME": container.vertex,
            "NUMAFLOW_POD": f"{values.name}-{container.vertex}-0",
            "NUMAFLOW_REPLICA": "0",
        }

    def _maps(self, values: Values) -> dict[str, dict[str, str]]:
        """What the manifest's map and secrets hold here, by their names."""
        settings, names = self.settings, values.secrets
        account = {"BLOCKLINE_USER": self.atlas.user, "BLOCKLINE_PASSWORD": self.atlas.password}
        return {
            values.name: {
                "BLOCKLINE_ATLAS": self.atlas.url,
                "BLOCKLINE_DATA": str(self.data),
                "BLOCKLINE_DIRECTORY_URL": f"{self.address}/scim/v2",
                "BLOCKLINE_HTTP_ALLOW": settings.http_allow,
                "BLOCKLINE_HTTP_ALLOW_PLAIN": settings.http_allow_plain,
                "BLOCKLINE_HTTP_AUTHORITIES": settings.http_authorities,
                "BLOCKLINE_HTTP_TRACE": settings.http_trace,
                "BLOCKLINE_LEASE_DIR": str(self.data),
                "BLOCKLINE_MAIL_FROM": settings.mail_from,
                "BLOCKLINE_PUBLIC_URL": self.public_url,
            },
            names.engine: {"BLOCKLINE_ENGINE_KEY": self.engine_key.hex()},
            names.atlas: account,
            names.atlas_reader: account,
            names.directory: {"BLOCKLINE_DIRECTORY_TOKEN": self.token},
            names.mail: {"BLOCKLINE_SMTP_URL": settings.smtp_url},
        }


def processes(
    manifest: str, values: Values, surroundings: Surroundings, run_dir: Path, clock: Clock
) -> tuple[dict[str, HostMaker], dict[str, int]]:
    """A host of a process of its own for each container of the manifest but those of :data:`INSIDE`, and the port on
    which each is to tell its numbers.
    """
    outside = {name: container for name, container in containers(manifest).items() if name not in INSIDE}
    ports = {name: free_port() for name in outside}
    hosts: dict[str, HostMaker] = {
        name: partial(
            _host,
            container,
            {**surroundings.variables(container, values), "BLOCKLINE_METRICS_PORT": str(ports[name])},
            surroundings.settings.log_format,
            run_dir,
            clock,
        )
        for name, container in outside.items()
    }
    return hosts, ports


def _host(  # noqa: PLR0917  (bound one after the other, up to the name)
    container: Container, variables: Mapping[str, str], log_format: str, run_dir: Path, clock: Clock, name: str
) -> ProcessHost:
    program, *arguments = container.command
    command = Command(sys.executable if program == _PYTHON else program, tuple(arguments), variables, SOCKETS)
    mark = f"[{name}] " if log_format == "text" else ""
    return ProcessHost(command, name, run_dir, clock, lambda line: print(f"{mark}{line}", file=sys.stderr, flush=True))
