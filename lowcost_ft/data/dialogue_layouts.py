"""How rows hold a conversation: as messages, in Alpaca's columns, or as a prompt and a reply."""

import json
from collections.abc import Callable, Sequence

from lowcost_ft.data.known_names import (
    MESSAGES_NAMES,
    PROMPT_NAMES,
    REPLY_NAMES,
    TURNS_NAMES,
)
from lowcost_ft.data.messages import Message, MessageCounts, messages_of
from lowcost_ft.data.right_texts import text_list, texts_in_json
from lowcost_ft.data.rows import (
    Row,
    column_names,
    file_of,
    find_column,
    listed,
    read_text,
    same_column,
    shown,
    text_fault,
)

__all__ = ["Reader", "find_layout"]

Reader = Callable[[Row], list[Message] | None]
"""Reads the messages of one row; None and a noted problem where it cannot."""


def find_layout(
    rows: Sequence[Row],
    messages_column: str | None,
    labelled: bool,
    counts: MessageCounts,
    problems: list[str],
    notices: list[str],
) -> tuple[Reader, list[str]] | None:
    """Finds how the rows of a file hold conversations.

    Args:
        rows: Rows of one file.
        messages_column: The column that the user named for the messages.
        labelled: Whether replies are wanted.
        counts: Gets what the reader changes in rows.
        problems: Gets a line for each problem, of the file and of the rows that are read.
        notices: Gets a line for guesses.

    Returns:
        The reader of a row and the columns that it reads; None for rows of no known layout.
    """
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
    """Messages of a row in the layout of Stanford Alpaca (Taori et al. 2023).

    Earlier turns may be pairs of texts in a column "history", as in LLaMA-Factory.
    """
    instruction = read_text(row, asked, problems)
    more = row.values.get(extra) if extra is not None else None
    if more is not None and not isinstance(more, str):
        problems.append(f"{row.source}: {shown(extra)} must be a text, not {shown(more)}")
        return None
    if instruction is None:
        return None
    messages = _history(row, problems)
    if messages is None:
        return None
    content = f"{instruction}\n\n{more}" if more and more.strip() else instruction
    messages.append({"role": "user", "content": content})
    if labelled and reply is not None:
        answer = text_list(row, reply, problems)
        messages += [{"role": "assistant", "content": text} for text in answer[:1]]
    return messages


def _history(row: Row, problems: list[str]) -> list[Message] | None:
    """Messages of the earlier turns, pairs of texts, which CSV holds as JSON."""
    value = row.values.get("history")
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError as error:
            problems.append(f'{row.source}: "history" is broken JSON ({error}); correct it')
            return None
    pairs = [] if value is None or value == "" else value
    if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
        problems.append(
            f'{row.source}: "history" must be a list of pairs of texts, such as '
            f'[["question", "answer"], ...], not {shown(value)}'
        )
        return None
    messages: list[Message] = []
    for number, pair in enumerate(pairs, 1):
        for role, text in zip(("user", "assistant"), pair, strict=True):
            if fault := text_fault(text):
                problems.append(f'{row.source}: "history", pair {number}, {fault}')
                return None
            messages.append({"role": role, "content": text})
    return messages


def _prompted(
    row: Row,
    prompt: str,
    reply: str | None,
    labelled: bool,
    counts: MessageCounts,
    problems: list[str],
) -> list[Message] | None:
    """Messages of a prompt, which may be a text, a list of turns or messages, and of a reply."""
    value = row.values.get(prompt)
    messages: list[Message] | None
    if isinstance(value, str) and (texts := texts_in_json(value)) is not None:
        value = texts
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
        repeated = [place for place, turn in enumerate(added) if messages[-1:] == [turn]]
        if repeated and repeated[-1] + 1 >= len(messages):
            return added
        return [*messages[:-1], *added[repeated[-1] :]] if repeated else messages + added
    texts = text_list(row, reply, problems)
    return messages + [{"role": "assistant", "content": text} for text in texts[:1]]
