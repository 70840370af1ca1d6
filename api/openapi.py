"""OpenAPI 3.1 from the table of routes; the schemas are pydantic's (JSON Schema 2020-12)."""

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.problems import MEDIA_TYPE
from api.rights import Role
from api.route import JSON, Route
from api.shapes import ProblemDetails

_REF: Final = "#/components/schemas/{model}"
_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_PROBLEM: Final = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="ProblemDetails")}}}
_RIGHTS: Final[Mapping[Role | None, str]] = {
    None: "Anybody who has signed in.",
    Role.REQUESTER: "Needs the role `requester`.",
    Role.AUTHOR: "Needs the role `author`.",
    Role.ADMIN: "Needs the role `admin`.",
}
_UNAUTHORIZED: Final = 401


def openapi(routes: Iterable[Route], prefix: str) -> dict[str, Any]:
    """The whole description; built once, when the application is."""
    routes = tuple(routes)
    schemas = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = prefix + _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Blockline",
            "version": version("blockline"),
            "description": "Workflows that people draw and people and systems carry out. Errors are RFC 9457.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "token": {"type": "http", "scheme": "bearer", "description": "A personal token of POST /me/tokens."},
            },
        },
        "security": [{"basic": []}, {"token": []}],
    }


def _schemas(routes: Iterable[Route]) -> dict[str, Any]:
    models: dict[type[BaseModel], str] = {ProblemDetails: "serialization"}
    for route in routes:
        for model in (route.body, route.query):
            if model is not None:
                models[model] = "validation"
        for answer in route.answers.values():
            if not isinstance(answer, str):
                models[answer] = "serialization"
    wanted: Any = list(models.items())
    _, definitions = models_json_schema(wanted, ref_template=_REF)
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


def _operation(route: Route, schemas: Mapping[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}_{_slug(route.path)}",
        "summary": route.summary,
        "description": _RIGHTS[route.role],
        "tags": [route.tag],
        "parameters": [*_in_path(route), *_in_headers(route), *_in_query(route, schemas)],
        "responses": {str(status): _answer(answer) for status, answer in route.answers.items()},
    }
    operation["responses"].setdefault(str(_UNAUTHORIZED), {"description": "not signed in", "content": _PROBLEM})
    operation["responses"]["default"] = {"description": "an error", "content": _PROBLEM}
    if route.body is not None:
        schema = {"$ref": _REF.format(model=route.body.__name__)}
        operation["requestBody"] = {"content": {JSON: {"schema": schema}}}
    return operation


def _in_path(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]


def _in_headers(route: Route) -> list[dict[str, Any]]:
    return [{"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in route.headers]


def _in_query(route: Route, schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    properties: Mapping[str, Any] = schemas[route.query.__name__].get("properties", {})
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()]


def _answer(answer: type[BaseModel] | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"description": answer}
    schema = {"$ref": _REF.format(model=answer.__name__)}
    summary = (answer.__doc__ or "").strip().splitlines()[0]
    return {"description": summary, "content": {JSON: {"schema": schema}}}


def _slug(path: str) -> str:
    return re.sub(r"\W+", "_", path).strip("_")
