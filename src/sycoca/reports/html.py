"""HTML pages from the templates beside this file, with a common style, self-contained."""

import math
from importlib import resources

import jinja2
from markupsafe import Markup

from sycoca.facts.metric_facts import metric_title, readable


def render(template: str, **values: object) -> str:
    """Return a rendered template; texts are escaped, and missing values are errors."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_template),
    )
    environment.filters["readable"] = lambda item: readable(*item)
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    environment.filters["metric_title"] = metric_title
    environment.filters["columns"] = lambda cards, most: balanced_columns(len(cards), most)
    environment.globals["shipped"] = shipped
    return environment.get_template(template).render(**values)


def shipped(name: str) -> Markup:
    """Return a style sheet or script of this package, to stand in a page as it is; names are relative to it."""
    # They are trusted, and must not be escaped.
    return Markup(_shipped_text(name))


def balanced_columns(number: int, most: int) -> int:
    """Return the columns of so many cards, at most ``most``, in rows that differ by one card at most where they can."""
    rows = max(1, math.ceil(number / most))
    return math.ceil(number / rows)


def _template(name: str) -> str:
    return _shipped_text(f"templates/{name}")


def _shipped_text(name: str) -> str:
    return resources.files("sycoca.reports").joinpath(*name.split("/")).read_text(encoding="utf-8")
