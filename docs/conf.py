"""The documentation site: ``make docs`` builds it from docs/*.md without a network; warnings are errors."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "docs" / "_ext")]

from sycoca import __version__  # noqa: E402

project = "SyCoCa"
author = "The SyCoCa developers"
release = version = __version__

# The last two are in docs/_ext: equations as MathML, reference pages from docstrings.
extensions = ["myst_parser", "mathml", "reference"]
exclude_patterns = ["_*"]
nitpicky = True

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "SyCoCa"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
pygments_style = "tango"
pygments_dark_style = "github-dark"
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#5b3fb5",
        "color-brand-content": "#5b3fb5",
        "color-brand-visited": "#5b3fb5",
    },
    "dark_css_variables": {
        "color-brand-primary": "#b9a6ff",
        "color-brand-content": "#b9a6ff",
        "color-brand-visited": "#b9a6ff",
    },
}
