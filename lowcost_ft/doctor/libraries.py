"""The libraries that the doctor needs, and the command that installs them."""

import importlib.util

from lowcost_ft.errors import UserError

__all__ = ["check_libraries"]


def check_libraries() -> None:
    """Refuses to begin without the libraries of the extra `doctor`.

    Raises:
        UserError: Names those that are missing, and the command that installs them.
    """
    missing = [name for name in ("datasketch", "ftfy") if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(
            f"the doctor needs {' and '.join(missing)}: run `pip install 'lowcost_ft[doctor]'`"
        )
