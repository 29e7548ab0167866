"""What a server allows: sizes, waiting requests, hosts, keys."""

from dataclasses import dataclass, field

__all__ = ["Access", "Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one request may ask for, and how many may wait.

    Attributes:
        body_bytes: Bytes of a request's body; more is answered with 413.
        texts: Inputs of one request; more is answered with 413.
        characters: Characters of one text; more is answered with 413.
        waiting: Requests that wait for their turn; one more is answered with 429.
        body_seconds: Time that a client has to send its body; then it is answered with 408.
    """

    body_bytes: int = 2_000_000
    texts: int = 256
    characters: int = 20_000
    waiting: int = 512
    body_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may ask.

    Attributes:
        hosts: Names that the Host header may have, without a port; `*` allows any.
        origins: Other sites whose pages may ask; `*` allows any.
        keys: One of these must come with a request; without any, no key is asked for.
    """

    hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1", "[::1]"})
    origins: frozenset[str] = frozenset()
    keys: tuple[str, ...] = field(default=(), repr=False)
