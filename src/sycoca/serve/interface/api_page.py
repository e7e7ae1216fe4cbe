"""The page about the interface: plain HTML from the OpenAPI description, without scripts or files of other sites."""

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment
from starlette.responses import HTMLResponse

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{{ title }}: HTTP interface</title>
<link rel="icon" href="page/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="page/page.css">
</head>
<body>
<header class="masthead"><h1>{{ title }}</h1><p>{{ version }}</p><a href="./">Web page</a></header>
<main class="document">
<h2 class="title">HTTP interface</h2>
<p>Bodies are multipart forms, answers are JSON. Every error is <code>{"error": reason, "setting": name or null}</code>.
The same as a machine reads it: <a href="/openapi.json">/openapi.json</a>.</p>
{% for one in operations %}
<h2><code>{{ one.method }} {{ one.path }}</code></h2>
<p>{{ one.summary }}</p>
{% if one.fields %}
<table>
<tr><th>field</th><th>kind</th><th>what it is</th></tr>
{% for field in one.fields %}
<tr><td><code>{{ field.name }}</code>{{ "" if field.is_required else " (optional)" }}</td>
<td>{{ field.kind }}</td><td>{{ field.text }}</td></tr>
{% endfor %}
</table>
{% endif %}
<h3>Answer</h3>
<pre tabindex="0">{{ one.answer }}</pre>
{% endfor %}
</main>
</body>
</html>
"""


def api_page(openapi: Mapping[str, Any]) -> HTMLResponse:
    """Return the page about an OpenAPI description."""
    template = Environment(autoescape=True).from_string(_TEMPLATE)
    operations = [
        _operation(openapi, path, method, one)
        for path, methods in openapi["paths"].items()
        for method, one in methods.items()
    ]
    info = openapi["info"]
    return HTMLResponse(template.render(title=info["title"], version=info["version"], operations=operations))


def _operation(openapi: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    body = _resolved(openapi, _schema_in(operation.get("requestBody", {})))
    answer = _schema_in(operation["responses"]["200"])
    return {
        "method": method.upper(),
        "path": path,
        "summary": operation.get("description", ""),
        "fields": [
            {
                "name": name,
                "kind": _kind(openapi, one),
                "text": one.get("description", ""),
                "is_required": name in body.get("required", ()),
            }
            for name, one in body.get("properties", {}).items()
        ],
        "answer": json.dumps(_example(openapi, answer), indent=2, ensure_ascii=False),
    }


def _schema_in(part: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((content.get("schema", {}) for content in part.get("content", {}).values()), {})


def _resolved(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    return openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]


def _kind(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return what kind of value a schema describes, in words."""
    schema = _resolved(openapi, schema)
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if choices:
        return _kind(openapi, choices[0])
    if schema.get("type") == "array":
        return f"{_kind(openapi, schema['items'])}, may be repeated"
    if "binary" in (
        schema.get("format"),
        schema.get("contentMediaType", "").replace("application/octet-stream", "binary"),
    ):
        return "file"
    kind = str(schema.get("type", "any value"))
    return {"string": "text", "integer": "whole number"}.get(kind, kind)


def _example(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """Return a value as a schema describes it, with kinds in place of values."""
    schema = _resolved(openapi, schema)
    choices = schema.get("anyOf", ())
    if choices:
        shown = _example(openapi, choices[0])
        return f"{shown} or null" if isinstance(shown, str) else shown
    match schema.get("type"):
        case "object" if "properties" in schema:
            return {name: _example(openapi, one) for name, one in schema["properties"].items()}
        case "object":
            kinds = schema.get("additionalProperties")
            return {"...": _example(openapi, kinds if isinstance(kinds, Mapping) else {})}
        case "array":
            return [_example(openapi, schema["items"])]
        case kind:
            return kind or "any value"
