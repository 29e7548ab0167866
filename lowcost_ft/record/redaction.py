"""What must not be written down: tokens, keys and passwords in settings and messages.

Data are never changed: labels, predictions, texts and scores stand as they are, whatever they look
like. What is redacted is where a credential can be: settings, the command line, addresses, and the
texts of notices and errors, and there not what is a label of the run.
"""

import os
import re
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["redact", "redact_run"]

_SECRET_NAME = re.compile(
    r"(^|[_-])(token|api[_-]?key|access[_-]?key|private[_-]?key|secret|pass(word|wd|phrase)?"
    r"|credentials?|authorization)$",
    re.IGNORECASE,
)
_SPECIAL_TOKEN = re.compile(r"^(pad|mask|eos|bos|unk|cls|sep)_token$")
_SECRET_VALUE = re.compile(
    # Words that are joined by hyphens are a name: a key has digits and capitals.
    r"\b(hf_[A-Za-z0-9]{30,}|gh[opsur]_[A-Za-z0-9]{30,}|github_pat_\w{30,}"
    r"|sk-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{20,}"
    r"|AKIA[A-Z0-9]{16})\b"
    r"|(?<=://)[^/\s@]+(?=@)"  # https://user:password@host
    r"|(?<=[?&](?:key|sig)=)[^&\s]+|(?<=[?&]token=)[^&\s]+"
)
_REDACTED = "<redacted>"
_SHORTEST = 12
"""Characters of a credential in the environment; shorter ones would hide common words, in paths."""


_WORDS = re.compile(r"[^\W\d_]+(?:[ _-][^\W\d_]+)*")
"""Text that may well be a label, too."""

_DATA = ("labels", "evaluation")
"""Fields of a run's record that hold nothing but data and what was computed of them."""


def redact_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's record without credentials; its labels and scores stay as they are."""
    labels = run.get("labels")
    keep = [str(label) for label in labels] if isinstance(labels, list | tuple) else []
    settings = ("config", "command")
    return {
        name: value
        if name in _DATA
        else redact(value, keep=keep)
        if name in settings
        else _redact_texts(value, keep)
        for name, value in run.items()
    }


def redact(value: Any, *, keep: Collection[str] = ()) -> Any:
    """A copy of settings or of a message without credentials.

    Left out are values whose field, or flag in a list of arguments, is named like a credential;
    what has the form of one within a text; and the values of environment variables that are named
    like one (`HF_TOKEN`, `WANDB_API_KEY`).

    Args:
        value: Settings, arguments, or a text.
        keep: Labels of the data, which are no credentials even where an environment variable has
            the same value. In a message without them, words that stand in quotes by themselves are
            taken for data.
    """
    if isinstance(value, Mapping):
        return {
            # A class may be called "password" too; what is known of it is no text.
            name: _REDACTED
            if item and isinstance(item, str) and _is_secret(str(name))
            else redact(item, keep=keep)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        flags = ["", *value][: len(value)]  # What stands before each item.
        return [
            _REDACTED
            if isinstance(item, str) and _is_secret_flag(flag)
            else redact(item, keep=keep)
            for flag, item in zip(flags, value, strict=True)
        ]
    return _redact_text(value, keep) if isinstance(value, str) else value


def _redact_texts(value: Any, keep: Collection[str]) -> Any:
    """The same for what holds texts under names that say nothing of credentials."""
    if isinstance(value, Mapping):
        return {name: _redact_texts(item, keep) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_texts(item, keep) for item in value]
    return _redact_text(value, keep) if isinstance(value, str) else value


def _redact_text(text: str, keep: Collection[str]) -> str:
    if text in keep:
        return text
    flag, equals, _ = text.partition("=")
    if equals and _is_secret_flag(flag):
        return f"{flag}={_REDACTED}"
    text = _SECRET_VALUE.sub(lambda found: found[0] if found[0] in keep else _REDACTED, text)
    for name, secret in os.environ.items():
        if len(secret) < _SHORTEST or not _is_secret(name):
            continue
        if any(secret in label for label in keep):
            continue
        if _WORDS.fullmatch(secret):
            alone = rf"(?<![\w\"'`]){re.escape(secret)}(?![\w\"'`])"
            text = re.sub(alone, _REDACTED, text)
        else:
            text = text.replace(secret, _REDACTED)
    return text


def _is_secret_flag(text: Any) -> bool:
    return isinstance(text, str) and text.startswith("--") and _is_secret(text)


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _SPECIAL_TOKEN.match(name)
