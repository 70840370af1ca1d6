"""What can be set from outside: one table, read by ``__main__`` modules and written out as a page of the docs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pipeline.core.errors import BlocklineError
from pipeline.core.limits import RETENTION_DAYS_DEFAULT, RETENTION_DAYS_MAX

PREFIX: Final = "BLOCKLINE_"
ENGINE_KEY_BYTES_MIN: Final = 32
PORT_MAX: Final = 65_535
_TRACES_PATH: Final = "/v1/traces"
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})


class SettingError(BlocklineError):
    """A setting has a value it can't have; the sentence names the setting and never repeats a secret."""


def _setting(default: Any, text: str, *, flag: str | None = None, is_secret: bool = False) -> Any:
    return field(default=default, metadata={"text": text, "flag": flag, "secret": is_secret})


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a server process reads: ``blockline up``, and a runner in a container."""

    data: str = _setting(".blockline", "Folder of everything that must survive a restart.", flag="--data")
    host: str = _setting("127.0.0.1", "Address to listen on.", flag="--host")
    port: int = _setting(8080, "Port of API and embedded Atlas.", flag="--port")
    public_url: str = _setting(
        "", "Address people reach the API under, for links in mails; without it, `http://HOST:PORT`."
    )
    admin_password: str = _setting(
        "", "Password of `admin`, set at every start; without it, one is generated at the first.", is_secret=True
    )
    smtp_url: str = _setting(
        "",
        "Mail server: `smtp://user:password@host:port`, `smtps://…`, `?starttls=require`; without it, mails stay in a "
        "local outbox that administrators see at `/outbox`.",
        is_secret=True,
    )
    mail_from: str = _setting("blockline@localhost", "Sender of mails.")
    shards: int = _setting(1, "Number of sinks, 1 to 256; may change between starts.", flag="--shards")
    secrets_dir: str = _setting(
        "", "Folder of the secrets that templates name, one file each; without it, `secrets` in the data folder."
    )
    http_allow: str = _setting(
        "",
        "What HTTP tasks may call inside: hosts (`jira.example`, `*.example`), addresses and networks "
        "(`10.1.0.0/16`), each perhaps with a port, commas between. By a host's name it may have private addresses; "
        "link-local ones and those that hand out a machine's credentials need an entry of their own.",
    )
    http_allow_plain: str = _setting(
        "", "What HTTP tasks may call without TLS, in the same form; `*` is everything that they may call."
    )
    http_authorities: str = _setting(
        "", "PEM file of certificate authorities that HTTP tasks trust beside the public ones."
    )
    http_trace: str = _setting(
        "",
        "Which hosts HTTP tasks tell of the trace that a call belongs to (`traceparent`), in the same form; `*` is "
        "everybody.",
    )
    kafka: str = _setting("", "A Kafka to use instead of the embedded broker: `HOST:PORT`.", flag="--kafka")
    events: str = _setting(
        "outbox",
        "Where the engine reads the events of the embedded Atlas: `outbox`, as they are committed, or `kafka`, when "
        "they come from the broker. Kafka gets all of them either way.",
    )
    kafka_group: str = _setting(
        "blockline", "Consumer group that reads the events of `BLOCKLINE_ATLAS`; the place reached is kept under it."
    )
    atlas: str = _setting(
        "",
        "An Apache Atlas to use instead of the embedded one: `http://HOST:PORT`; its Kafka is `BLOCKLINE_KAFKA`.",
        flag="--atlas",
    )
    atlas_user: str = _setting("", "Account of the engine in `BLOCKLINE_ATLAS`; it must be an administrator's.")
    atlas_password: str = _setting("", "Password of that account.", is_secret=True)
    is_isolated: bool = _setting(
        False,
        "Each vertex in a process of its own, as in a cluster; one that crashes or hangs takes nothing else along.",
        flag="--isolated",
    )
    transport: str = _setting(
        "direct",
        "How a message gets to its vertex: `direct` calls the handler in this process, `sockets` goes through "
        "pynumaflow's server as in a cluster.",
        flag="--transport",
    )
    retention_days: int = _setting(
        RETENTION_DAYS_DEFAULT,
        "Runs that ended this many days ago leave the store for the archive; 0 keeps them in the store for ever.",
    )
    archive_dir: str = _setting(
        "",
        "Folder of the archive of ended runs; without it, `archive` in the data folder. It is only ever added to.",
    )
    log_level: str = _setting("INFO", "`DEBUG`, `INFO`, `WARNING` or `ERROR`.")
    log_format: str = _setting("text", "`text` for people, `json` for collectors.")


@dataclass(frozen=True, slots=True)
class VertexSettings:
    """What a vertex in a container of its own reads; the rendered manifest sets it."""

    atlas: str = _setting("", "Where Atlas is: `http://HOST:PORT`.")
    user: str = _setting("", "Account of the vertex in Atlas.")
    password: str = _setting("", "Password of that account.", is_secret=True)
    engine_key: str = _setting("", "The engine's key in hex, 32 bytes or more.", is_secret=True)
    types: str = _setting("", "Installed types of blocks, with commas between them.")
    shard: int = _setting(0, "Which sink this is, from 0.")
    shards: int = _setting(1, "Number of sinks, 1 to 256.")
    directory_url: str = _setting(
        "",
        "Where people are asked for: a SCIM 2.0 service, as `https://HOST/scim/v2`. "
        "`blockline up` asks its own users, and serves them below `/scim/v2`.",
    )
    directory_token: str = _setting("", "Bearer token that may read users and groups there.", is_secret=True)
    directory_authorities: str = _setting(
        "", "PEM file of certificate authorities that are trusted there beside the public ones."
    )
    service_account_dir: str = _setting(
        "/var/run/secrets/kubernetes.io/serviceaccount",
        "Where the pod's service account is mounted: a sink leases its slots by it.",
    )
    lease_dir: str = _setting(
        "", "Folder of locks by which a sink leases its slots on one machine, in place of a Kubernetes `Lease`."
    )
    kafka: str = _setting("", "The Kafka that `cdc` reads: `HOST:PORT`, more with commas between.")
    kafka_topic: str = _setting("ATLAS_ENTITIES", "The topic of Atlas' events.")
    kafka_group: str = _setting("blockline", "The consumer group under which the place reached is kept.")
    metrics_port: int = _setting(
        0,
        "Port of the vertex' numbers for Prometheus, at `/metrics`; 0 is none, and the manifest sets one. Where it is "
        "taken, the log says so and the vertex works on without.",
    )
    metrics_host: str = _setting("127.0.0.1", "Address to answer for them on; in a pod one that the scraper reaches.")
    socket_dir: str = _setting("/var/run/numaflow", "Where the platform expects the vertex' socket.")
    log_level: str = _setting("INFO", "`DEBUG`, `INFO`, `WARNING` or `ERROR`.")
    log_format: str = _setting("json", "`text` for people, `json` for collectors.")

    def socket(self, path: str) -> str:
        """Where a file is that the platform expects at ``path`` by default."""
        return str(Path(self.socket_dir) / Path(path).name)


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """What every process that works on runs reads: ``blockline up``, and each vertex in a container."""

    otlp_endpoint: str = _setting(
        "",
        "Where the OpenTelemetry collector takes traces: `http://HOST:4318` (OTLP, protobuf over HTTP; `/v1/traces` is "
        "added). Without it there are none.",
    )
    otlp_headers: str = _setting(
        "",
        "Headers of each request there, as `name=value,name=value`, values percent-encoded: for authentication.",
        is_secret=True,
    )
    otlp_authorities: str = _setting(
        "", "PEM file of certificate authorities that are trusted there beside the public ones."
    )
    trace_percent: int = _setting(
        100, "How many of a hundred runs are traced, each whole or not at all; the same in every process."
    )


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What the client commands of ``blockline`` read."""

    url: str = _setting("http://127.0.0.1:8080", "Address of the server that client commands talk to.", flag="--url")
    user: str = _setting("", "Name of the user of client commands.")
    password: str = _setting("", "Password, or a personal token, of the user of client commands.", is_secret=True)


def secrets_folder(settings: ServerSettings) -> Path:
    """Where the secrets are that templates name; it needn't be there."""
    return Path(settings.secrets_dir) if settings.secrets_dir else Path(settings.data) / "secrets"


def archive_folder(settings: ServerSettings) -> Path:
    """Where ended runs are archived; it needn't be there."""
    return Path(settings.archive_dir) if settings.archive_dir else Path(settings.data) / "archive"


def variable_of(name: str) -> str:
    """The environment variable of a setting: ``is_isolated`` is ``BLOCKLINE_ISOLATED``."""
    return PREFIX + name.removeprefix("is_").upper()


TRACE_VARIABLES: Final = tuple(variable_of(setting.name) for setting in fields(TraceSettings))
"""What all processes of one installation have the same values of, where there is tracing."""


def server_settings(environment: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> ServerSettings:
    """Settings of a server; ``flags`` (by setting's name, None = not given) win over the environment.

    Raises:
        SettingError: a value isn't of its kind, or out of its range.
    """
    settings = ServerSettings(**_read(ServerSettings, environment, flags or {}))
    if not 0 <= settings.port <= PORT_MAX:
        raise SettingError(f"The port is a number from 0 to {PORT_MAX}.")
    _check_common(settings)
    if not 0 <= settings.retention_days <= RETENTION_DAYS_MAX:
        days = f"a number of days, 0 to {RETENTION_DAYS_MAX}; 0 keeps runs in the store for ever"
        raise SettingError(f"{variable_of('retention_days')} is {days}.")
    if settings.transport not in {"direct", "sockets"}:
        raise SettingError(f"{variable_of('transport')} is direct or sockets.")
    if settings.events not in {"outbox", "kafka"}:
        raise SettingError(f"{variable_of('events')} is outbox or kafka.")
    return settings


def vertex_settings(environment: Mapping[str, str]) -> VertexSettings:
    """Settings of a vertex in a container of its own.

    Raises:
        SettingError: a value isn't of its kind, or out of its range.
    """
    settings = VertexSettings(**_read(VertexSettings, environment, {}))
    _check_common(settings)
    if not 0 <= settings.metrics_port <= PORT_MAX:
        raise SettingError(f"{variable_of('metrics_port')} is a number from 0 to {PORT_MAX}; 0 serves no metrics.")
    return settings


def trace_settings(environment: Mapping[str, str]) -> TraceSettings:
    """Where traces go, if anywhere.

    Raises:
        SettingError: a value isn't of its kind, or out of its range.
    """
    settings = TraceSettings(**_read(TraceSettings, environment, {}))
    if not 0 <= settings.trace_percent <= 100:  # noqa: PLR2004  (of a hundred)
        raise SettingError(f"{variable_of('trace_percent')} is a number from 0 to 100.")
    return settings


def otlp_url(settings: TraceSettings) -> str:
    """The address that spans are posted to.

    Raises:
        SettingError: it isn't one, or holds a password: that belongs into the headers, which nobody logs.
    """
    name = variable_of("otlp_endpoint")
    try:
        url = urlsplit(settings.otlp_endpoint)
        is_address = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        is_address = False
    if not is_address or url.query or url.fragment:
        raise SettingError(f"{name} is the address of a collector: http://HOST:4318, or https.")
    if "@" in url.netloc:
        raise SettingError(f"{name} has no place for a password: put it into {variable_of('otlp_headers')}.")
    base = settings.otlp_endpoint.rstrip("/")
    return base if base.endswith(_TRACES_PATH) else base + _TRACES_PATH


def otlp_headers(settings: TraceSettings) -> dict[str, str]:
    """The headers that spans are posted with.

    Raises:
        SettingError: they can't be read; the sentence repeats none of them.
    """
    headers = {}
    for pair in filter(None, (part.strip() for part in settings.otlp_headers.split(","))):
        name, equals, value = (unquote(part.strip()) for part in pair.partition("="))
        if not equals or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise SettingError(f"{variable_of('otlp_headers')} has the form name=value,name=value, percent-encoded.")
        headers[name] = value
    return headers


def engine_key(settings: VertexSettings) -> bytes:
    """The key that the engine signs with.

    Raises:
        SettingError: it isn't one.
    """
    try:
        key = bytes.fromhex(settings.engine_key)
    except ValueError:
        key = b""
    if len(key) < ENGINE_KEY_BYTES_MIN:
        raise SettingError(f"{variable_of('engine_key')} is the engine's key in hex, 32 bytes or more.")
    return key


def client_settings(environment: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> ClientSettings:
    """Settings of a client; as :func:`server_settings`."""
    return ClientSettings(**_read(ClientSettings, environment, flags or {}))


def _check_common(settings: ServerSettings | VertexSettings) -> None:
    if not 1 <= settings.shards <= 256:  # noqa: PLR2004  (one sink a slot at most)
        raise SettingError(f"{variable_of('shards')} is a number from 1 to 256.")
    if settings.log_level.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise SettingError(f"{variable_of('log_level')} is one of DEBUG, INFO, WARNING, ERROR.")
    if settings.log_format not in {"text", "json"}:
        raise SettingError(f"{variable_of('log_format')} is text or json.")


def as_page() -> str:
    """``docs/settings.md``: generated from the tables above; a test keeps it current."""
    parts = [
        "# Settings",
        "",
        "Generated by `python -m pipeline.process.settings_page`: change `pipeline/process/settings.py` instead.",
        "A flag wins over its environment variable.",
    ]
    for title, model in (
        ("Server", ServerSettings),
        ("Vertices in containers", VertexSettings),
        ("Traces, of the server and of vertices in containers", TraceSettings),
        ("Client commands", ClientSettings),
    ):
        parts += ["", f"## {title}", "", "| variable | flag | default | what |", "| --- | --- | --- | --- |"]
        for setting in fields(model):
            flag = f"`{setting.metadata['flag']}`" if setting.metadata["flag"] else ""
            default = "" if setting.default in {"", False} else f"`{setting.default}`"
            note = " Secret: never logged." if setting.metadata["secret"] else ""
            parts.append(f"| `{variable_of(setting.name)}` | {flag} | {default} | {setting.metadata['text']}{note} |")
    return "\n".join(parts) + "\n"


def _read(
    model: type[ServerSettings | VertexSettings | TraceSettings | ClientSettings],
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for setting in fields(model):
        if flags.get(setting.name) is not None:
            values[setting.name] = flags[setting.name]
        elif variable_of(setting.name) in environment:
            values[setting.name] = _value(setting.name, setting.default, environment[variable_of(setting.name)])
    return values


def _value(name: str, default: Any, text: str) -> Any:
    if isinstance(default, bool):
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise SettingError(f"{variable_of(name)} is true or false.")
    if isinstance(default, int):
        try:
            return int(text)
        except ValueError:
            raise SettingError(f"{variable_of(name)} is a number.") from None
    return text
