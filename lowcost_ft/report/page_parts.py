"""What the pages of all commands share: their frame and look, and texts that are escaped."""

from typing import Any

from lowcost_ft.report.drawing import check_libraries

__all__ = ["rendered"]


def rendered(package: str, **values: Any) -> str:
    """The page of a package, from its `page.html`.

    That file extends `report/base.html`, which holds the head, the style and the blocks `style`,
    `under_title` and `main`; `report/parts.html` has macros for what several pages show.

    Args:
        package: The package, such as `lowcost_ft.doctor`.
        values: What the template names, `title` among them. Texts and labels are somebody's data,
            so all of them are escaped.

    Raises:
        UserError: The libraries of the extra `report` are missing.
    """
    check_libraries()
    import base64

    from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined

    shared = PrefixLoader({"report": PackageLoader("lowcost_ft.report", ".")})
    environment = Environment(
        loader=ChoiceLoader([shared, PackageLoader(package, ".")]),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters["base64"] = lambda text: base64.b64encode(text.encode()).decode()
    page: str = environment.get_template("page.html").render(**values)
    return page
