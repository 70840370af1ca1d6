"""``python -m udfs.runners TYPE``: the runner's vertex of one type of block, as a process of its own.

Settings (by the rendered manifest): those of its block, and where Atlas is with an account that may read, for outputs
that are entities; all of them are in docs/settings.md.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pynumaflow._constants import MAP_SERVER_INFO_FILE_PATH, MAP_SOCK_PATH

from pipeline.blocks.outputs import ArgumentReader
from pipeline.blocks.registry import Registry
from pipeline.blocks.shell import AttemptTraces, RunnerShell
from pipeline.blocks.time_limit import AsyncioTimeLimit
from pipeline.core.errors import BlocklineError
from pipeline.directory.open import open_directory
from pipeline.expressions.cel import CelEvaluator
from pipeline.mail.open import open_mailer
from pipeline.process.clock import SystemClock
from pipeline.process.logs import configure
from pipeline.process.metrics_server import serve_metrics
from pipeline.process.settings import (
    ServerSettings,
    VertexSettings,
    secrets_folder,
    server_settings,
    trace_settings,
    vertex_settings,
)
from pipeline.secrets.folder import FolderSecrets
from pipeline.store.catalog import StoreCatalog
from pipeline.store.open import open_store
from pipeline.store.outputs import StoredOutputs
from pipeline.telemetry.traces_open import open_tracing
from pipeline.topology.build import runner_vertex
from pipeline.web.open import open_web_client
from udfs.runners.counting import counting
from udfs.runners.server import build_server

_USAGE_EXIT: Final = 2


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Serve until the platform ends the process; the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m udfs.runners TYPE\n")
        return _USAGE_EXIT
    try:
        settings, vertex = server_settings(environment), vertex_settings(environment)
        configure(settings.log_level, settings.log_format, runner_vertex(arguments[0]))
        name = runner_vertex(arguments[0])
        traces = open_tracing(trace_settings(environment), SystemClock(), name).runner(name)
        shell = shell_of(arguments[0], settings, vertex, traces)
    except BlocklineError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE_EXIT
    serve_metrics(vertex)
    sock_path, info_path = vertex.socket(MAP_SOCK_PATH), vertex.socket(MAP_SERVER_INFO_FILE_PATH)
    build_server(shell, sock_path=sock_path, info_path=info_path).start()
    return 0


def shell_of(
    block_type: str, settings: ServerSettings, vertex: VertexSettings, traces: AttemptTraces | None = None
) -> RunnerShell:
    """The runner of that type with what it needs; ``traces`` are there where there is tracing.

    Raises:
        BlocklineError: there is no such block, or a setting that it needs is missing or can't be.
    """
    registry = Registry.load("udfs.runners")
    manifest = registry.manifest(block_type)
    store = open_store(vertex)
    ports: dict[str, Any] = {"public_url": settings.public_url}
    if "mailer" in manifest.needs:
        Path(settings.data).mkdir(parents=True, exist_ok=True)
        ports["mailer"] = open_mailer(
            settings.smtp_url, settings.mail_from, Path(settings.data) / "mail.sqlite3"
        ).mailer
    if "web" in manifest.needs:
        ports["web"] = open_web_client(
            settings.http_allow, settings.http_allow_plain, settings.http_authorities, settings.http_trace
        )
    if "directory" in manifest.needs:
        ports["directory"] = open_directory(vertex, SystemClock())
    if "catalog" in manifest.needs:
        ports["catalog"] = StoreCatalog(store)
    return RunnerShell(
        registry.create(block_type, ports),
        manifest,
        SystemClock(),
        time_limit=AsyncioTimeLimit(),
        reader=ArgumentReader(StoredOutputs(store), CelEvaluator()),
        secrets=FolderSecrets(secrets_folder(settings)) if manifest.has_secrets else None,
        on_result=counting(block_type),
        traces=traces,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
