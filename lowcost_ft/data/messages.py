"""The turns of one conversation, as chat programs write them -> messages with roles."""

import json
from collections import Counter
from typing import Any

from lowcost_ft.data.rows import Row, listed, shown, text_fault

__all__ = ["ROLES", "Message", "MessageCounts", "messages_of"]

Message = dict[str, str]
"""`{"role": "system" | "user" | "assistant", "content": text}`."""

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "customer"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "agent", "ai"), "assistant"),
}
"""What a role is called elsewhere -> what it is called here."""

_ROLE_KEYS = ("role", "from", "speaker")
_CONTENT_KEYS = ("content", "value", "text")


class MessageCounts(Counter[str]):
    """How often something was changed or left out, and the first place of each."""

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[str, str] = {}

    def note(self, what: str, source: str) -> None:
        """Counts one row."""
        self[what] += 1
        self.first.setdefault(what, source)


def messages_of(
    value: Any, row: Row, column: str, *, counts: MessageCounts, problems: list[str]
) -> list[Message] | None:
    """The messages in a column, or None and a problem.

    Args:
        value: A list of objects with a role (or "from") and a content (or "value"), or of texts
            that two people said in turns, the last one the assistant; CSV holds it as JSON.
        row: The row, for messages to the user.
        column: The column.
        counts: Counts what is changed.
        problems: Gets a line for each problem.
    """
    place = f"{row.source}: {shown(column)}"
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError as error:
            problems.append(f"{place} is broken JSON ({error}); correct it")
            return None
    if not isinstance(value, list) or not value:
        what = "is missing" if value is None else f"is {shown(value)}"
        problems.append(
            f'{place} {what}; it must be a list of turns, such as [{{"role": "user", "content": '
            "...}, ...]: correct it or delete the row"
        )
        return None
    if all(isinstance(turn, str) for turn in value):
        return _alternating(value, place, problems)
    messages: list[Message] = []
    for number, turn in enumerate(value, 1):
        if _says_nothing_to_the_model(turn):
            counts.note("whose system turn is empty, and is left out", row.source)
            continue
        message = _message(turn, f"{place}, turn {number},", row.source, counts, problems)
        if message is None:
            return None
        messages.append(message)
    return messages


def _alternating(texts: list[str], place: str, problems: list[str]) -> list[Message] | None:
    for number, text in enumerate(texts, 1):
        if fault := text_fault(text):
            problems.append(f"{place}, turn {number}, {fault}")
            return None
    roles = ("assistant", "user")
    return [
        {"role": roles[(len(texts) - number) % 2], "content": text}
        for number, text in enumerate(texts, 1)
    ]


def _says_nothing_to_the_model(turn: Any) -> bool:
    """Whether a turn is an empty one of the system, as programs write it where there is none."""
    if not isinstance(turn, dict):
        return False
    roles = [turn[key] for key in _ROLE_KEYS if key in turn]
    contents = [turn[key] for key in _CONTENT_KEYS if key in turn]
    if not roles or not contents or ROLES.get(str(roles[0]).strip().lower()) != "system":
        return False
    content = contents[0]
    return content is None or (isinstance(content, str) and not content.strip())


def _message(
    turn: Any, place: str, source: str, counts: MessageCounts, problems: list[str]
) -> Message | None:
    if not isinstance(turn, dict):
        problems.append(
            f'{place} must be an object, such as {{"role": "user", "content": ...}}, not '
            f"{shown(turn)}"
        )
        return None
    role_key = next((key for key in _ROLE_KEYS if key in turn), None)
    content_key = next((key for key in _CONTENT_KEYS if key in turn), None)
    if role_key is None or content_key is None:
        wanted = "role" if role_key is None else "content"
        problems.append(f'{place} has no "{wanted}"; its keys are {listed(list(map(str, turn)))}')
        return None
    role = ROLES.get(str(turn[role_key]).strip().lower())
    if role is None:
        problems.append(
            f"{place} has the role {shown(turn[role_key])}; known: {', '.join(ROLES)}. Turns of "
            "tools are not supported: delete the row"
        )
        return None
    if turn.get("tool_calls") or turn.get("function_call"):
        problems.append(f"{place} calls a tool, which is not supported; delete the row")
        return None
    content = turn[content_key]
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        for part in content
    ):
        content = "".join(part["text"] for part in content)
    fault = text_fault(content)
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        kinds = listed(sorted({str(part.get("type")) for part in content} - {"text"}))
        fault = 'has a part without "text"; fill it in or delete the row'
        if kinds:
            fault = f"has parts of the type {kinds}, and only text is read; delete the row"
    if fault:
        problems.append(f"{place} {shown(content_key)} {fault}")
        return None
    if more := [
        key for key in turn if key not in (role_key, content_key) and turn[key] not in (None, [])
    ]:
        counts.note(f"with turns whose {listed(sorted(map(str, more)))} is not read", source)
    return {"role": role, "content": str(content)}
