"""How Sphinx builds these pages: `make docs`, into build/docs.

The pages are Markdown that GitHub shows as well. Nothing in them is loaded from another host.
"""

import re
from typing import Any

import lowcost_ft

project = "lowcost_ft"
author = "the lowcost_ft contributors"
version = release = lowcost_ft.__version__
language = "en"
smartquotes = False  # It would make one dash of the two in front of a flag.

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns: list[str] = []
# Every link to a page or a heading is checked, and a warning ends the build (-W).
nitpicky = True
nitpick_ignore_regex = [("py:.*", r".*")]  # Types of other libraries: their pages are elsewhere.
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"lowcost_ft {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True

_SINGLE_BACKTICKS = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def _as_code(*event: Any) -> None:
    """Docstrings write code as Markdown does: one backtick means code."""
    lines: list[str] = event[-1]
    lines[:] = [_SINGLE_BACKTICKS.sub(r"``\1``", line) for line in lines]


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("autodoc-process-docstring", _as_code)
