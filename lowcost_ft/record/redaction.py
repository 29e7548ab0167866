"""What must not be written down: tokens, keys and passwords in settings and messages."""

import os
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["redact"]

_SECRET_NAME = re.compile(
    r"(^|[_-])(token|api[_-]?key|access[_-]?key|private[_-]?key|secret|pass(word|wd|phrase)?"
    r"|credentials?|authorization)$",
    re.IGNORECASE,
)
_SPECIAL_TOKEN = re.compile(r"^(pad|mask|eos|bos|unk|cls|sep)_token$")
_SECRET_VALUE = re.compile(
    r"\b(hf_[A-Za-z0-9]{30,}|gh[opsur]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|sk-[\w-]{20,}"
    r"|AKIA[A-Z0-9]{16})\b"
    r"|(?<=://)[^/\s@]+(?=@)"  # https://user:password@host
    r"|(?<=[?&](?:key|sig)=)[^&\s]+|(?<=[?&]token=)[^&\s]+"
)
_REDACTED = "<redacted>"
_SHORTEST = 12
"""Characters of a credential in the environment; shorter ones would hide common words, in paths."""


def redact(value: Any) -> Any:
    """A copy without credentials.

    Left out are values whose field, or flag in a list of arguments, is named like a credential;
    what has the form of one within a text; and the values of environment variables that are named
    like one (`HF_TOKEN`, `WANDB_API_KEY`).
    """
    if isinstance(value, Mapping):
        return {
            # A class may be called "password" too; what is known of it is no text.
            name: _REDACTED
            if item and isinstance(item, str) and _is_secret(str(name))
            else redact(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        flags = ["", *value][: len(value)]  # What stands before each item.
        return [
            _REDACTED if isinstance(item, str) and _is_secret_flag(flag) else redact(item)
            for flag, item in zip(flags, value, strict=True)
        ]
    return _redact_text(value) if isinstance(value, str) else value


def _redact_text(text: str) -> str:
    flag, equals, _ = text.partition("=")
    if equals and _is_secret_flag(flag):
        return f"{flag}={_REDACTED}"
    text = _SECRET_VALUE.sub(_REDACTED, text)
    for name, secret in os.environ.items():
        if len(secret) >= _SHORTEST and _is_secret(name):
            text = text.replace(secret, _REDACTED)
    return text


def _is_secret_flag(text: Any) -> bool:
    return isinstance(text, str) and text.startswith("--") and _is_secret(text)


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _SPECIAL_TOKEN.match(name)
