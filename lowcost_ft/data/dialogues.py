"""Rows that hold conversations, instructions or prompts -> messages with roles, in one form."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.data.dialogue_layouts import find_layout
from lowcost_ft.data.known_names import (
    REFERENCE_NAMES,
    REPLY_NAMES,
)
from lowcost_ft.data.messages import Message, MessageCounts
from lowcost_ft.data.right_texts import find_references, other_texts
from lowcost_ft.data.rows import (
    Row,
    counted,
    file_of,
    read_id,
    read_text,
)

__all__ = ["read_dialogues"]

_SYSTEM_NAMES = ("system", "system_prompt")


def read_dialogues(
    rows: Sequence[Row],
    *,
    messages_column: str | None = None,
    references_column: str | None = None,
    labelled: bool = True,
    problems: list[str],
    notices: list[str],
) -> list[Row]:
    """Reads conversations as rows `{"id"?, "messages", "references"}`.

    Args:
        rows: Rows of one file or split: messages with roles (OpenAI's, ShareGPT's), turns as a list
            of texts with or without several replies, Alpaca's instruction, input and output, or a
            prompt with its completion.
        messages_column: The column that the user named for the messages.
        references_column: The column that the user named for lists of right last replies.
        labelled: Whether the last turn must be the assistant's; otherwise it must be the user's.
        problems: Gets a line for each problem.
        notices: Gets a line for guesses and for what is changed, with its count and first place.

    Returns:
        The rows without problems, each with the place (`Row.source`) that it had. A system turn, if
        any, is the first; no two neighbouring turns have one role. `references` are all right
        last replies, the last turn among them; rows that are not `labelled` have none.
    """
    if not rows:
        return []
    counts = MessageCounts()
    file = file_of(rows[0].source)
    layout = find_layout(rows, messages_column, labelled, counts, problems, notices)
    if layout is None:
        return []
    read, used = layout
    # The replies of a prompt may be a list of several right ones.
    several = [name for name in used if name in REPLY_NAMES and _holds_texts(rows, name)]
    usual = (*REFERENCE_NAMES, *several)
    references = find_references(rows, references_column, usual, problems)
    found = []
    for row in rows:
        before = len(problems)
        messages = read(row)
        if messages is None or len(problems) > before:
            continue
        messages = _with_system(row, messages, used, problems)
        messages = _joined(messages, row.source, counts)
        if not _in_order(row, messages, labelled, counts, problems):
            continue
        values: dict[str, Any] = {"messages": messages}
        if labelled:
            others = other_texts(row, references, problems)
            values["references"] = list(dict.fromkeys([messages[-1]["content"], *others]))
        if len(problems) > before:
            continue
        row_id = read_id(row, used)
        found.append(Row(({} if row_id is None else {"id": row_id}) | values, row.source))
    notices += [
        f"{file}: {counted(number, 'row')} {what}, first at {counts.first[what]}"
        for what, number in counts.items()
    ]
    return found


def _holds_texts(rows: Sequence[Row], name: str) -> bool:
    return any(
        isinstance(value := row.values.get(name), list) and all(isinstance(t, str) for t in value)
        for row in rows
    )


def _with_system(
    row: Row, messages: list[Message], used: Sequence[str], problems: list[str]
) -> list[Message]:
    """Puts the text of a system column, if the row has one, in front of the messages."""
    name = next((n for n in _SYSTEM_NAMES if n in row.values and n not in used), None)
    told = row.values.get(name) if name is not None else None
    if told is None or (isinstance(told, str) and not told.strip()):
        return messages
    text = read_text(row, str(name), problems)
    first = messages[0] if messages else {"role": "", "content": ""}
    # Some exports say it in both places.
    repeated = first["role"] == "system" and first["content"].strip() == (text or "").strip()
    if text is None or repeated:
        return messages
    return [{"role": "system", "content": text}, *messages]


def _joined(messages: list[Message], source: str, counts: MessageCounts) -> list[Message]:
    """Joins neighbouring messages of one role, since chat templates want roles to take turns."""
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"]:
            content = f"{joined[-1]['content']}\n\n{message['content']}"
            joined[-1] = {**message, "content": content}
        else:
            joined.append(message)
    if len(joined) < len(messages):
        counts.note("in which turns of one speaker that follow each other were joined", source)
    return joined


def _in_order(
    row: Row,
    messages: list[Message],
    labelled: bool,
    counts: MessageCounts,
    problems: list[str],
) -> bool:
    """Whether a conversation can be used; removes the turns after its last usable one."""
    roles = [message["role"] for message in messages]
    if "system" in roles[1:]:
        problems.append(
            f"{row.source}: a system turn stands after others; move it to the front, or delete it"
        )
        return False
    last = "assistant" if labelled else "user"
    if last not in roles:
        problems.append(f"{row.source}: the {last} says nothing; add a turn or delete the row")
        return False
    end = len(roles) - roles[::-1].index(last)
    if end < len(messages):
        counts.note(f"whose turns after the {last}'s last one were left out", row.source)
        del messages[end:]
    if labelled and "user" not in roles[:end]:
        problems.append(f"{row.source}: the user says nothing; add a turn or delete the row")
        return False
    return True
