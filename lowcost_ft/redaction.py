"""What must not be written down: tokens, keys and passwords in settings and messages."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["redact"]

_SECRET_NAME = re.compile(
    r"(^|[_-])(token|api[_-]?key|access[_-]?key|private[_-]?key|secret|password|passphrase|credentials?"
    r"|authorization)$",
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


def redact(value: Any) -> Any:
    """A copy without credentials: fields named like one, and tokens or passwords within texts."""
    if isinstance(value, Mapping):
        return {
            name: _REDACTED if item and _is_secret(str(name)) else redact(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return _SECRET_VALUE.sub(_REDACTED, value) if isinstance(value, str) else value


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _SPECIAL_TOKEN.match(name)
