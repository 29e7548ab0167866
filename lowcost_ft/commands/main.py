"""`lowcost-ft`: plan a run, and use, score, merge, compare and serve finished ones.

Answers go to standard output, everything else to standard error. Each command has a file of its
own; what needs PyTorch is imported where it is used, so that help and wrong flags do not wait for
it.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

import tyro

from lowcost_ft.commands.attack import Attack, attack
from lowcost_ft.commands.audit import Audit, audit
from lowcost_ft.commands.chat import Chat, chat
from lowcost_ft.commands.compress import Compress, compress
from lowcost_ft.commands.convert import Convert, convert
from lowcost_ft.commands.doctor import Doctor, doctor
from lowcost_ft.commands.evaluate import Evaluate, evaluate
from lowcost_ft.commands.explain import Explain, explain
from lowcost_ft.commands.export import Export, export
from lowcost_ft.commands.merge import Merge, merge
from lowcost_ft.commands.plan import PlanMemory, parse_plan, plan
from lowcost_ft.commands.predict import Predict, predict
from lowcost_ft.commands.program import exit_code, stopped_like_ctrl_c
from lowcost_ft.commands.report import Report, report
from lowcost_ft.commands.saved_run import parse_use, task_flag_names
from lowcost_ft.commands.serve import Serve, serve
from lowcost_ft.commands.suggest import Suggest, suggest
from lowcost_ft.commands.tune import Tune, parse_tune, tune
from lowcost_ft.config.flag_names import foreign_flag_problems, repeated_flag_problems
from lowcost_ft.config.flags import parse_flags
from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.screen import readers_may_leave
from lowcost_ft.tasks.flags import Command

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, tuple[type, Callable[[Any], None]]] = {
    "plan": (PlanMemory, plan),
    "doctor": (Doctor, doctor),
    "convert": (Convert, convert),
    "suggest": (Suggest, suggest),
    "tune": (Tune, tune),
    "predict": (Predict, predict),
    "chat": (Chat, chat),
    "evaluate": (Evaluate, evaluate),
    "explain": (Explain, explain),
    "attack": (Attack, attack),
    "audit": (Audit, audit),
    "merge": (Merge, merge),
    "export": (Export, export),
    "compress": (Compress, compress),
    "report": (Report, report),
    "serve": (Serve, serve),
}
"""Name of a command -> its flags, and what it does."""
USES: tuple[Command, ...] = ("predict", "evaluate", "explain", "attack", "audit")
"""Commands to which tasks bring flags of their own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 2 what the user can mend, 1 our mistake."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed: list[Any] = []
    with stopped_like_ctrl_c(), readers_may_leave():
        code = exit_code(lambda: _check_flags(words), debug=False)
        code = code or exit_code(lambda: parsed.append(_parse(words)), debug=False)
        return code or _run(parsed[0])


def _check_flags(arguments: list[str]) -> None:
    """Refuses unknown commands, and flags of other trainers, with the name that they have here."""
    if arguments and arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
        near = get_close_matches(arguments[0], COMMANDS, n=1)
        meant = f"; did you mean {near[0]}?" if near else "."
        raise UserError(
            f"lowcost-ft {arguments[0]}: there is no such command{meant} The commands are "
            f"{', '.join(COMMANDS)}"
        )
    if arguments and arguments[0] in COMMANDS:
        names = {field.name for field in fields(COMMANDS[arguments[0]][0])}
        names |= {name for use in USES if use == arguments[0] for name in task_flag_names(use)}
        if arguments[0] == "tune":  # What is not its own goes to the recipe.
            names |= {field.name for field in fields(RunConfig)}
        problems = foreign_flag_problems(arguments[1:], names)
        if problems := problems + repeated_flag_problems(arguments[1:]):
            raise UserError(problems)


def _run(command: Any) -> int:
    action = next(action for flags, action in COMMANDS.values() if type(command) is flags)
    return exit_code(
        lambda: action(command),
        debug=command.debug,
        flags=[field.name for field in fields(command)],
    )


def _parse(arguments: list[str]) -> Any:
    name = arguments[0] if arguments else ""
    if name in COMMANDS:  # By itself, so that what tyro refuses points to this command's help.
        if name == "plan":
            return parse_plan(arguments[1:], prog="lowcost-ft plan")
        if name == "tune":
            return parse_tune(arguments[1:], prog="lowcost-ft tune")
        for use in USES:
            if use == name:
                return parse_use(COMMANDS[name][0], use, arguments[1:], prog=f"lowcost-ft {name}")
        return parse_flags(COMMANDS[name][0], arguments[1:], prog=f"lowcost-ft {name}")
    return tyro.extras.subcommand_cli_from_dict(
        {name: flags for name, (flags, _) in COMMANDS.items()},
        prog="lowcost-ft",
        args=arguments,
        description="Check data, plan and tune; use, explain, shrink and serve models.",
    )


if __name__ == "__main__":
    sys.exit(main())
