"""Pages from the templates beside this file: one look, one file each, nothing fetched from elsewhere."""

from importlib import resources

import jinja2
from markupsafe import Markup

from sycoca.facts.metric_facts import metric_title, readable


def render(template: str, **values: object) -> str:
    """Return a template filled in; texts are escaped, and a value that is missing is an error."""
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
    # Styles are ours and hold characters that are escaped elsewhere.
    return environment.get_template(template).render(style=Markup(_template("style.css")), **values)


def _template(name: str) -> str:
    return resources.files("sycoca.reports").joinpath("templates", name).read_text(encoding="utf-8")
