"""``/docs``: the OpenAPI description to read and to try, served by us alone (no script from elsewhere)."""

import hashlib
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.pages import page

Endpoint = Callable[[Request], Awaitable[Response]]
_SCRIPT: Final = """
document.querySelectorAll("form").forEach(form => form.addEventListener("submit", async submitted => {
  submitted.preventDefault();
  const out = form.querySelector("output");
  let path = form.dataset.path;
  const query = new URLSearchParams(), headers = {};
  form.querySelectorAll("input[data-in]").forEach(input => {
    if (input.dataset.in === "path") path = path.replace("{" + input.name + "}", encodeURIComponent(input.value));
    else if (input.value && input.dataset.in === "query") query.set(input.name, input.value);
    else if (input.value) headers[input.name] = input.value;
  });
  const body = form.querySelector("textarea");
  if (body && body.value) headers["Content-Type"] = "application/json";
  if (query.size) path += "?" + query;
  out.textContent = "…";
  try {
    const options = {method: form.dataset.method, headers, body: body && body.value ? body.value : undefined};
    const answer = await fetch(path, options);
    const text = await answer.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch (error) { shown = text; }
    out.textContent = answer.status + " " + answer.statusText + "\\n" + shown;
  } catch (error) { out.textContent = String(error); }
}));
"""
_HASH: Final = b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_HASH}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}
_STYLE: Final = (
    "<style>details{border-top:1px solid #8885;padding:.4rem 0}summary{cursor:pointer}"
    "code.method{display:inline-block;min-width:4.5rem;font-weight:700}label{display:block;margin:.4rem 0}"
    "input,textarea{font:inherit;width:100%;box-sizing:border-box}textarea{min-height:6rem;font-family:monospace}"
    "output{display:block;white-space:pre-wrap;overflow-wrap:anywhere;font-family:monospace;margin:.5rem 0}</style>"
)


def endpoints(description: Mapping[str, Any]) -> dict[str, Endpoint]:
    """The endpoint by path; the page is built once."""
    html = page("Blockline API", _STYLE + _body(description) + f"<script>{_SCRIPT}</script>")

    async def docs(_: Request) -> Response:
        return HTMLResponse(html, headers=_HEADERS)

    return {"/docs": docs}


def _body(description: Mapping[str, Any]) -> str:
    operations: dict[str, list[str]] = {}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            operations.setdefault(operation["tags"][0], []).append(_operation(path, method, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(forms)}" for tag, forms in operations.items())
    return (
        '<h1>Blockline API</h1><p>Generated from <a href="/openapi.json">/openapi.json</a>. What you try here is real; '
        f"the browser asks for your name and password.</p>{sections}"
    )


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    fields = "".join(_field(parameter) for parameter in operation["parameters"])
    if "requestBody" in operation:
        fields += '<label>body (JSON)<textarea name="body" spellcheck="false"></textarea></label>'
    answers = "".join(
        f"<li><code>{escape(status)}</code> {escape(answer['description'])}</li>"
        for status, answer in operation["responses"].items()
    )
    return (
        f'<details><summary><code class="method">{escape(method.upper())}</code> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary><p>{escape(operation['description'])}</p><ul>{answers}</ul>"
        f'<form data-path="{escape(path)}" data-method="{escape(method.upper())}">{fields}'
        "<button>Try</button><output></output></form></details>"
    )


def _field(parameter: Mapping[str, Any]) -> str:
    name = escape(parameter["name"])
    return f'<label>{name} <input name="{name}" data-in="{escape(parameter["in"])}"></label>'
