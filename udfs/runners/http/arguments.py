"""What an HTTP task is told."""

import base64
import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator

from pipeline.blocks.contract import Arguments, misfit
from pipeline.core.limits import HTTP_HEADER_CHARS_MAX, HTTP_HEADERS_MAX, HTTP_URL_CHARS_MAX

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_OURS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to the connection."""
_BODIES: Final = ("body", "text", "form")
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD"})
_STATUS: Final = re.compile(r"[1-5](?:xx|[0-9]{2})")
WRITE_ONLY: Final[dict[str, JsonValue]] = {"writeOnly": True}


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError("the name of a header has letters, digits and - only")
        if name.lower() in _OURS:
            raise ValueError(f"the header {name} is the connection's own and can't be set")
        if len(value) > HTTP_HEADER_CHARS_MAX or not _VALUE.fullmatch(value):
            raise ValueError(
                f"the value of {name} must be one line of ASCII, without blanks at its ends, "
                f"of {HTTP_HEADER_CHARS_MAX} characters at most"
            )
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("a header stands there twice")
    return headers


def _status(status: int | str) -> int | str:
    if not _STATUS.fullmatch(str(status)):
        raise ValueError("a status is a number like 404 or a class like 2xx")
    return status


def _user(user: str) -> str:
    if ":" in user:
        raise ValueError("a user's name has no colon")
    return user


class Bearer(Arguments):
    """A token, sent as ``Authorization: Bearer …``."""

    bearer: str = Field(title="Token", min_length=1, max_length=HTTP_HEADER_CHARS_MAX)

    @property
    def header(self) -> str:
        """The value of ``Authorization``."""
        return f"Bearer {self.bearer}"


class Basic(Arguments):
    """A user and a password, sent as ``Authorization: Basic …``."""

    user: Annotated[str, AfterValidator(_user)] = Field(title="User", min_length=1, max_length=1024)
    password: str = Field(title="Password", max_length=1024)

    @property
    def header(self) -> str:
        """The value of ``Authorization``."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


Plain = str | int | float | bool | None


class HttpArguments(Arguments):
    """One request to a web service."""

    url: str = Field(
        title="Address",
        description="https only, and none of the installation's own network, unless an operator allows more",
        min_length=1,
        max_length=HTTP_URL_CHARS_MAX,
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field(default="GET", title="Method")
    query: dict[str, Plain | list[Plain]] = Field(
        default_factory=dict, title="Query", description="Added to the address, escaped; null leaves one out"
    )
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(
        default_factory=dict,
        title="Headers",
        max_length=HTTP_HEADERS_MAX,
        json_schema_extra=WRITE_ONLY,
    )
    auth: Bearer | Basic | None = Field(
        default=None,
        title="Credentials",
        description='{"bearer": …} or {"user": …, "password": …}',
        json_schema_extra=WRITE_ONLY,
    )
    body: JsonValue = Field(default=None, title="JSON body", description="Any JSON value but null")
    text: str | None = Field(default=None, title="Text body", description="Sent as it stands, instead of JSON")
    form: dict[str, Plain | list[Plain]] | None = Field(
        default=None, title="Form body", description="Sent as a web page's form is, instead of JSON"
    )
    expected_statuses: Annotated[list[Annotated[int | str, AfterValidator(_status)]], Field(min_length=1)] = Field(
        default=["2xx"],
        alias="expectedStatuses",
        title="Expected statuses",
        description="Numbers and classes with which the task succeeds",
        max_length=50,
    )
    answer: Literal["AUTO", "JSON", "TEXT", "NONE"] = Field(
        default="AUTO",
        title="Answer",
        description="What its body is: AUTO goes by its Content-Type, JSON and TEXT insist, NONE doesn't read it",
    )
    follow_redirects: bool = Field(default=True, alias="followRedirects", title="Follow redirects")
    key_scope: Literal["TASK", "ATTEMPT"] = Field(
        default="TASK",
        alias="keyScope",
        title="Idempotency key",
        description="TASK: the same for every attempt. ATTEMPT: one each, where a service repeats a stored error",
    )

    @model_validator(mode="before")
    @classmethod
    def _fits(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        bodies = [name for name in _BODIES if value.get(name) is not None]
        if len(bodies) > 1:
            raise misfit(f"give one of {' and '.join(bodies)}")
        if bodies and value.get("method", "GET") in _WITHOUT_BODY:
            raise misfit(f"a {value.get('method', 'GET')} has no body: give a method such as POST")
        headers = value.get("headers")
        if value.get("auth") is not None and isinstance(headers, dict):
            named = {str(name).lower() for name in headers}
            if "authorization" in named:
                raise misfit("give either auth or the header Authorization")
        return value
