"""`lowcost-ft chat`: a conversation with a trained model, in the terminal or for a program."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from lowcost_ft.commands.saved_run import RunFolder, check_threads, print_notices
from lowcost_ft.errors import UserError
from lowcost_ft.screen import print_json, visible
from lowcost_ft.tasks.writing.flags import WritingFlags

__all__ = ["Chat", "chat"]

_NEW = "/new"
_EXIT = "/exit"


@dataclass(frozen=True, kw_only=True)
class Chat(WritingFlags):
    """Talk with a model that was trained on dialogues, in a terminal or with one turn a line from
    standard input."""

    run: RunFolder
    """Folder of a completed run."""
    system: str | None = None
    """The system's turn, which comes before the conversation."""
    base_model: str | None = None
    """Name or folder of the run's base model, if it is no longer what run.json names."""
    json: bool = False
    """Print each reply as one JSON object, when it is complete."""
    trust_remote_code: bool = False
    """Run model code that comes with the base model. Off unless you trust its author."""
    num_threads: int | None = None
    """CPU threads. Default: OMP_NUM_THREADS if you set it, else the physical cores."""
    debug: bool = False
    """Show a traceback with each error."""


def chat(command: Chat) -> None:
    """Reads turns and prints replies until the input ends.

    Raises:
        UserError: A flag or the run is wrong, or the model cannot read the conversation.
    """
    check_threads(command)
    if command.system is not None and not command.system.strip():
        raise UserError("--system is empty: give a text, or leave it out")
    from lowcost_ft.pipeline.conversation import Conversation
    from lowcost_ft.pipeline.load_predictor import load_predictor

    predictor = load_predictor(
        command.run,
        base_model=command.base_model,
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
        **{f.name: getattr(command, f.name) for f in fields(WritingFlags)},
    )
    conversation = Conversation(predictor, system=command.system)
    print_notices(predictor)
    terminal = sys.stdin.isatty()
    if terminal:
        print(
            f"Talking with {command.run}. {_NEW} forgets what was said, {_EXIT} or Ctrl-D ends; "
            "Ctrl-C stops a reply.",
            file=sys.stderr,
        )
    told = False
    for text in _turns(terminal):
        if text == _EXIT:
            return
        if text == _NEW:
            conversation.start_again()
            told = False
            continue
        reply = _reply(conversation, text, terminal=terminal, shown=not command.json)
        if command.json:
            print_json(_answer(text, reply, conversation))
        limit = f"the run's --max-length {predictor.run['config']['max_length']}"
        if conversation.shortened:
            what = f"note: the beginning of this turn has no room in {limit}, and is not read"
            print(what, file=sys.stderr)
        if conversation.left_out and not told:
            told = True
            what = f"note: the oldest turns have no room in {limit} any more, and are not read"
            print(what, file=sys.stderr)


def _turns(terminal: bool) -> Iterator[str]:
    """What the user says, turn by turn; blank lines say nothing."""
    if terminal:
        with suppress(ImportError):
            import readline  # noqa: F401 (lets a line be edited)
        with suppress(EOFError):
            while True:
                # What is written into a file holds replies alone.
                if not (shown := sys.stdout.isatty()):
                    print("> ", end="", file=sys.stderr, flush=True)
                if text := input("> " if shown else "").strip():
                    yield text
        print(file=sys.stderr)
        return
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            # Some programs put a mark of the encoding in front of all that they write.
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise UserError(f"standard input:{number}: is not UTF-8; convert it first") from None
        if text:
            yield text


def _reply(conversation: Any, text: str, *, terminal: bool, shown: bool) -> str:
    """The reply, as far as it came; printed as it is written where it is `shown`."""
    pieces, taken = conversation.reply(text), []
    try:
        for piece in pieces:
            taken.append(piece)
            if shown:
                print(visible(piece, sys.stdout), end="", flush=True)
    except KeyboardInterrupt:
        if not terminal:
            raise
        pieces.close()
        print(" [stopped]", end="" if shown else "\n", file=sys.stderr)
    if shown:
        print(flush=True)
    return "".join(taken)


def _answer(text: str, reply: str, conversation: Any) -> dict[str, Any]:
    turns = len(conversation.turns)
    answer = {"content": text, "reply": reply, "turns": turns}
    cuts = {"oldest_left_out": conversation.left_out, "beginning_left_out": conversation.shortened}
    return answer | {name: True for name, was_cut in cuts.items() if was_cut}
