"""Rows that hold conversations, instructions or prompts -> messages with roles, in one form."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from lowcost_ft.data.known_names import (
    MESSAGES_NAMES,
    PROMPT_NAMES,
    REFERENCE_NAMES,
    REPLY_NAMES,
    TURNS_NAMES,
)
from lowcost_ft.data.messages import Message, MessageCounts, messages_of
from lowcost_ft.data.rows import (
    Row,
    column_names,
    counted,
    file_of,
    find_column,
    listed,
    read_id,
    read_text,
    same_column,
    shown,
)
from lowcost_ft.data.text_pairs import other_texts, text_list

__all__ = ["read_dialogues"]

_SYSTEM_NAMES = ("system", "system_prompt")

Reader = Callable[[Row], list[Message] | None]


def read_dialogues(
    rows: Sequence[Row],
    *,
    messages_column: str | None = None,
    references_column: str | None = None,
    labelled: bool = True,
    problems: list[str],
    notices: list[str],
) -> list[Row]:
    """Rows `{"id"?, "messages", "references"}`, each with the place of the row it is from.

    Args:
        rows: Rows of one file or split: messages with roles (OpenAI's, ShareGPT's), turns as a list
            of texts with or without several replies, Alpaca's instruction, input and output, or a
            prompt with its completion.
        messages_column: Column of the messages that the user named.
        references_column: Column with several right last replies.
        labelled: Whether the last turn must be the assistant's; if not, it is the user's.
        problems: Gets a line for each problem.
        notices: Gets a line for guesses and for what is changed, with its count and first place.

    Returns:
        The rows without problems. A system turn, if any, is the first; no two turns in a row have
        one role. `references` are all right last replies, the last turn among them; rows that are
        not `labelled` have none.
    """
    if not rows:
        return []
    counts = MessageCounts()
    file = file_of(rows[0].source)
    form = _form(rows, messages_column, labelled, counts, problems, notices)
    if form is None:
        return []
    read, used = form
    references = _references(rows, references_column, used, problems)
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


def _form(
    rows: Sequence[Row],
    messages_column: str | None,
    labelled: bool,
    counts: MessageCounts,
    problems: list[str],
    notices: list[str],
) -> tuple[Reader, list[str]] | None:
    """How rows are read, and from which columns; None and a problem for rows of no known form."""
    names, file = column_names(rows), file_of(rows[0].source)

    def first(*usual: str) -> str | None:
        return next((same for name in usual if (same := same_column(names, name))), None)

    guesses = [name for name in MESSAGES_NAMES if same_column(names, name)]
    asked = first("instruction")
    answer = first("output", *REPLY_NAMES) if asked else None
    if messages_column is not None or (guesses and answer is None):
        column = find_column(
            rows, messages_column, guesses, "messages", problems=problems, notices=notices
        )
        if column is None:
            return None
        return (lambda row: _listed_turns(row, column, counts, problems)), [column]
    if asked is not None and (answer is not None or not labelled):
        extra = first("input", "context")
        used = [name for name in (asked, extra, answer, "history") if name in names]
        notices.append(f"{file}: read in the layout of Alpaca, from {listed(used)}")
        return (lambda row: _alpaca(row, asked, extra, answer, labelled, problems)), used
    turns = next((name for name in TURNS_NAMES if _holds_lists(rows, name)), None)
    prompt = turns or first(*PROMPT_NAMES)
    reply = first(*(name for name in REPLY_NAMES if prompt is None or name != prompt.lower()))
    if prompt is not None and (reply is not None or not labelled):
        used = [prompt, *([reply] if reply else [])]
        if used not in (["prompt", "completion"], ["text"]):
            notices.append(f"{file}: dialogues read from {listed(used)}")
        return (lambda row: _prompted(row, prompt, reply, labelled, counts, problems)), used
    problems.append(
        f"{file}: no column of messages (--messages-column), and neither instruction and output "
        "nor prompt and completion, which two columns may be renamed to; the columns are "
        f"{listed(names) or 'none'}"
    )
    return None


def _holds_lists(rows: Sequence[Row], name: str) -> bool:
    values = [row.values.get(name) for row in rows]
    return any(isinstance(v, list) or (isinstance(v, str) and v[:1] == "[") for v in values)


def _listed_turns(
    row: Row, column: str, counts: MessageCounts, problems: list[str]
) -> list[Message] | None:
    return messages_of(row.values.get(column), row, column, counts=counts, problems=problems)


def _alpaca(
    row: Row,
    asked: str,
    extra: str | None,
    reply: str | None,
    labelled: bool,
    problems: list[str],
) -> list[Message] | None:
    """Source: Taori et al. (2023), Stanford Alpaca; "history" as LLaMA-Factory has it."""
    instruction = read_text(row, asked, problems)
    more = row.values.get(extra) if extra is not None else None
    if more is not None and not isinstance(more, str):
        problems.append(f"{row.source}: {shown(extra)} must be a text, not {shown(more)}")
        return None
    if instruction is None:
        return None
    messages: list[Message] = []
    for pair in row.values.get("history") or []:
        if not (
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(t, str) for t in pair)
        ):
            problems.append(f'{row.source}: "history" must be a list of pairs of texts')
            return None
        messages += [
            {"role": "user", "content": pair[0]},
            {"role": "assistant", "content": pair[1]},
        ]
    content = f"{instruction}\n\n{more}" if more and more.strip() else instruction
    messages.append({"role": "user", "content": content})
    if labelled and reply is not None:
        answer = text_list(row, reply, problems)
        messages += [{"role": "assistant", "content": text} for text in answer[:1]]
    return messages


def _prompted(
    row: Row,
    prompt: str,
    reply: str | None,
    labelled: bool,
    counts: MessageCounts,
    problems: list[str],
) -> list[Message] | None:
    value = row.values.get(prompt)
    messages: list[Message] | None
    if isinstance(value, str) and (texts_in_json := _texts_in_json(value)) is not None:
        value = texts_in_json
    if isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("[{")):
        messages = messages_of(value, row, prompt, counts=counts, problems=problems)
        if messages and isinstance(value, list) and isinstance(value[0], str):
            # The reply, which follows, is the assistant's.
            other = {"user": "assistant", "assistant": "user"}
            messages = [{**turn, "role": other[turn["role"]]} for turn in messages]
    else:
        text = read_text(row, prompt, problems)
        messages = None if text is None else [{"role": "user", "content": text}]
    if messages is None or reply is None or not labelled:
        return messages
    answer = row.values.get(reply)
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        added = messages_of(answer, row, reply, counts=counts, problems=problems)
        if added is None:
            return None
        # Pairs of a chosen and a rejected reply often repeat the prompt in both.
        repeated = [place for place, turn in enumerate(added) if turn == messages[-1]]
        if repeated and repeated[-1] + 1 >= len(messages):
            return added
        return [*messages[:-1], *added[repeated[-1] :]] if repeated else messages + added
    texts = text_list(row, reply, problems)
    return messages + [{"role": "assistant", "content": text} for text in texts[:1]]


def _texts_in_json(cell: str) -> list[str] | None:
    """A list of texts that a cell of a table holds as JSON; None for any other text."""
    if not cell.lstrip().startswith('["'):
        return None
    try:
        found = json.loads(cell)
    except ValueError:
        return None
    return found if found and all(isinstance(text, str) for text in found) else None


def _references(
    rows: Sequence[Row], given: str | None, used: Sequence[str], problems: list[str]
) -> str | None:
    names = column_names(rows)
    if given is not None:
        return find_column(rows, given, (), "references", problems=problems, notices=[])
    several = [name for name in used if name in REPLY_NAMES and _holds_texts(rows, name)]
    return next((name for name in (*REFERENCE_NAMES, *several) if name in names), None)


def _holds_texts(rows: Sequence[Row], name: str) -> bool:
    return any(
        isinstance(value := row.values.get(name), list) and all(isinstance(t, str) for t in value)
        for row in rows
    )


def _with_system(
    row: Row, messages: list[Message], used: Sequence[str], problems: list[str]
) -> list[Message]:
    name = next((n for n in _SYSTEM_NAMES if n in row.values and n not in used), None)
    told = row.values.get(name) if name is not None else None
    if told is None or (isinstance(told, str) and not told.strip()):
        return messages
    text = read_text(row, str(name), problems)
    return messages if text is None else [{"role": "system", "content": text}, *messages]


def _joined(messages: list[Message], source: str, counts: MessageCounts) -> list[Message]:
    """Messages of which no two in a row have one role: chat templates want them in turns."""
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
    """Whether a conversation can be used; turns after its last usable one are left out."""
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
