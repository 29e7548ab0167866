"""Conversations as text, by a chat template: what the model reads, and what it should write.

A template is asked with marks in place of what the assistant says, so that the text around them is
the same in training and in use, whatever the template does; and no token of a reply can be taken
for one of the prompt.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowcost_ft.errors import UserError
from lowcost_ft.tasks.writing.example import Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ChatFormat", "begins_texts", "settle_chat_template"]

_FROZEN_DATE = datetime.date(2024, 7, 26)
"""What stands in the place of today's date: the default of Llama 3.1's template."""
_TODAY = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")

_MARK = "\ue000reply {}\ue001"

_PLAIN_TEXT = (
    "{% for turn in messages %}{% if turn['role'] == 'assistant' %}{{ turn['content'] }}"
    "{{ eos_token }}{% else %}{{ turn['content'] }}\n\n{% endif %}{% endfor %}"
)
_PLAIN_DIALOGUE = (
    "{% for turn in messages %}{% if turn['role'] == 'assistant' %}Assistant:\n"
    "{{ turn['content'] }}{{ eos_token }}\n{% elif turn['role'] == 'user' %}User:\n"
    "{{ turn['content'] }}\n{% else %}{{ turn['content'] }}\n{% endif %}{% endfor %}"
)


def settle_chat_template(
    wanted: str, tokenizer: PreTrainedTokenizerBase, *, dialogue: bool, model_id: str
) -> str:
    """The Jinja text of the template that `--chat-template` means.

    Args:
        wanted: Its value; or a template's text, such as that of a finished run.
        tokenizer: The model's.
        dialogue: Whether there are conversations, which nobody can guess a layout for.
        model_id: For the message.

    Raises:
        UserError: There is none, or the file cannot be read.
    """
    own: Any = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default") or next(iter(own.values()), None)
    if wanted == "auto" and own:
        return _frozen(str(own))
    if wanted == "auto" and dialogue:
        raise UserError(
            f"chat_template: the tokenizer of {model_id!r} has no chat template, so it is not "
            "known how the turns of a dialogue become one text. Take the model's -Instruct or "
            "-chat variant, or give --chat-template plain (User: ..., Assistant: ...), or a file "
            "that holds a Jinja template"
        )
    if wanted in ("auto", "plain"):
        start = "{{ bos_token }}" if begins_texts(tokenizer) else ""
        return start + (_PLAIN_DIALOGUE if dialogue else _PLAIN_TEXT)
    if "{" in wanted:
        return _frozen(wanted)
    try:
        return _frozen(Path(wanted).read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--chat-template {wanted}: is neither auto nor plain nor a file that can be read "
            f"({error})"
        ) from None


def begins_texts(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer puts a token in front of each text."""
    first = tokenizer("a")["input_ids"][0]
    return tokenizer.bos_token_id is not None and first == tokenizer.bos_token_id


class ChatFormat:
    """One chat template with one tokenizer.

    Attributes:
        end: The tokens that end what the assistant says.
        end_token_ids: Tokens any of which ends a written text.
    """

    def __init__(self, template: str, tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Args:
            template: Its Jinja text.
            tokenizer: The model's.

        Raises:
            UserError: The template cannot be used.
        """
        self.template = template
        self.tokenizer = tokenizer
        try:
            after = self._around([("user", "a"), ("assistant", "b")])[1]
        except ValueError as error:
            raise UserError(f"chat_template: cannot be used [{error}]") from error
        ids = tokenizer(after, add_special_tokens=False)["input_ids"] if after else []
        special = {*tokenizer.all_special_ids} | {
            number for number, token in tokenizer.added_tokens_decoder.items() if token.special
        }
        place = next((i for i, token in enumerate(ids) if token in special), None)
        self._end_text = ""
        if place is not None:
            name = str(tokenizer.convert_ids_to_tokens(ids[place]))
            if name in after:
                self._end_text = after[: after.index(name) + len(name)]
        eos = tokenizer.eos_token_id
        if not self._end_text and eos is not None:
            self._end_text = self._end_between(str(tokenizer.eos_token))
        self._reads_system = self._has_system()
        if not self._end_text and eos is None:
            raise UserError(
                "chat_template: neither it nor the tokenizer has a token that ends what the "
                "assistant says; set the tokenizer's eos_token"
            )
        self.end: list[int] = ids[: place + 1] if self._end_text and place is not None else [eos]
        ends = [self.end[-1], *([] if eos is None else [eos])]
        self.end_token_ids = tuple(dict.fromkeys(int(token) for token in ends))

    def contexts(self, turns: Sequence[Turn]) -> list[str]:
        """What the model reads before each thing that the assistant says, the next one last.

        Args:
            turns: The conversation, which does not end with the assistant.

        Raises:
            ValueError: The template does not take such a conversation; says why.
        """
        if not self._reads_system and any(role == "system" for role, _ in turns):
            raise ValueError("the template leaves out what the system says")
        pieces = self._around([*turns, ("assistant", "next")])[:-1]
        return [pieces[0]] + [piece.removeprefix(self._end_text) for piece in pieces[1:]]

    def _end_between(self, eos: str) -> str:
        """What ends a reply that another turn follows, in a template that does not end the last."""
        try:
            after = self._around([("user", "a"), ("assistant", "b"), ("user", "c")])[1]
        except ValueError:
            return ""
        before, found, _ = after.partition(eos)
        return before + found if not before.strip() else ""

    def _has_system(self) -> bool:
        """Whether the template takes what the system says, or refuses it by itself."""
        mark = _MARK.format("system")
        try:
            return mark in self._render(
                [{"role": "system", "content": mark}, {"role": "user", "content": "a"}]
            )
        except ValueError:
            return True

    def _around(self, turns: Sequence[Turn]) -> list[str]:
        """The text in front of, between and behind what the assistant says."""
        marks, messages = [], []
        for number, (role, content) in enumerate(turns):
            if role == "assistant":
                marks.append(_MARK.format(number))
                content = marks[-1]
            messages.append({"role": role, "content": content})
        text, pieces = self._render(messages), []
        for mark in marks:
            before, found, text = text.partition(mark)
            if not found:
                raise ValueError("the template leaves out something that the assistant says")
            pieces.append(before)
        return [*pieces, text]

    def _render(self, messages: list[dict[str, str]]) -> str:
        from jinja2 import TemplateError

        try:
            found: Any = self.tokenizer.apply_chat_template(
                messages,
                chat_template=self.template,
                tokenize=False,
                enable_thinking=False,  # No target holds what a model thinks.
            )
        except (TemplateError, TypeError, KeyError) as error:
            raise ValueError(str(error).splitlines()[0] if str(error) else "failed") from error
        return str(found)


def _frozen(template: str) -> str:
    """A template with a fixed day in place of today's, so that a prompt stays the same.

    Raises:
        UserError: It asks for the day in a way that is not understood.
    """
    found = _TODAY.sub(lambda asked: f'"{_FROZEN_DATE.strftime(asked[2])}"', template)
    if "strftime_now(" in found:
        raise UserError(
            "chat_template: it asks for today's date in a way that cannot be fixed, so that the "
            "prompt would change from day to day; give --chat-template a file without it"
        )
    return found
