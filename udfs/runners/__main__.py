"""``python -m udfs.runners TYPE``: the runner's vertex of one type of block, as a process of its own."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pynumaflow._constants import MAP_SERVER_INFO_FILE_PATH, MAP_SOCK_PATH

from pipeline.blocks.registry import Registry, RegistryError
from pipeline.blocks.shell import RunnerShell
from pipeline.blocks.time_limit import AsyncioTimeLimit
from pipeline.core.errors import BlocklineError
from pipeline.mail.open import open_mailer
from pipeline.process.clock import SystemClock
from pipeline.process.logs import configure
from pipeline.process.settings import ServerSettings, secrets_folder, server_settings
from pipeline.secrets.folder import FolderSecrets
from pipeline.web.open import open_web_client
from udfs.runners.server import build_server

_USAGE_EXIT: Final = 2
_PROVIDED: Final = frozenset({"mailer", "public_url", "web"})


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Serve until the platform ends the process; the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m udfs.runners TYPE\n")
        return _USAGE_EXIT
    try:
        settings = server_settings(environment)
        shell = _shell(arguments[0], settings)
    except BlocklineError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE_EXIT
    configure(settings.log_level, settings.log_format)
    build_server(shell, sock_path=MAP_SOCK_PATH, info_path=MAP_SERVER_INFO_FILE_PATH).start()
    return 0


def _shell(block_type: str, settings: ServerSettings) -> RunnerShell:
    registry = Registry.load("udfs.runners")
    manifest = registry.manifest(block_type)
    missing = sorted(set(manifest.needs) - _PROVIDED)
    if missing:
        raise RegistryError(f"{block_type} needs {', '.join(missing)}, which a process of its own doesn't have yet")
    runner = registry.create(block_type, _ports(manifest.needs, settings))
    secrets = FolderSecrets(secrets_folder(settings)) if manifest.has_secrets else None
    return RunnerShell(runner, manifest, SystemClock(), time_limit=AsyncioTimeLimit(), secrets=secrets)


def _ports(needs: tuple[str, ...], settings: ServerSettings) -> dict[str, Any]:
    ports: dict[str, Any] = {"public_url": settings.public_url}
    if "mailer" in needs:
        ports["mailer"] = open_mailer(
            settings.smtp_url, settings.mail_from, Path(settings.data) / "mail.sqlite3"
        ).mailer
    if "web" in needs:
        ports["web"] = open_web_client(settings.http_allow, settings.http_allow_plain, settings.http_authorities)
    return ports


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
