"""What the pages of all commands share: their look, and texts that are escaped."""

import re
from importlib.resources import files
from typing import Any

from lowcost_ft.report.drawing import check_libraries

__all__ = ["house_style", "rendered"]


def house_style() -> str:
    """The style of the reports, from their page."""
    text = files("lowcost_ft.report").joinpath("page.html").read_text("utf-8")
    found = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert found is not None
    return found[1]


def rendered(package: str, **values: Any) -> str:
    """The page of a package, from its `page.html`.

    Args:
        package: The package, such as `lowcost_ft.doctor`.
        values: What the template names; `style` is added. Texts and labels are somebody's data, so
            all of them are escaped.

    Raises:
        UserError: The libraries of the extra `report` are missing.
    """
    check_libraries()
    import base64

    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, "."), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["base64"] = lambda text: base64.b64encode(text.encode()).decode()
    page: str = environment.get_template("page.html").render(style=house_style(), **values)
    return page
