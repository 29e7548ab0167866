"""Why a request gets no answer: its status code, and the words for the client."""

import re

__all__ = ["RequestError", "busy", "not_ready", "unprocessable", "without_folders"]

RETRY_SECONDS = 1
"""After how long a client that was sent away may try again."""

_FOLDERS = re.compile(r"(?<![\w.:/~<-])~?/(?:[^\s/'\",;:()\[\]<>]+/)+")
"""The folders of an absolute path, up to its last name."""


class RequestError(Exception):
    """A request that is refused.

    Attributes:
        status: Status code of HTTP.
        kind: What Text Embeddings Inference calls the error (`error_type`).
        message: What is wrong and how to mend it; holds no text of the request.
        retry_after: Seconds after which the same request may succeed; None where it will not.
    """

    def __init__(
        self, status: int, kind: str, message: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.retry_after = retry_after


def unprocessable(message: str) -> RequestError:
    """The request is understood and cannot be answered."""
    return RequestError(422, "Validation", message)


def busy() -> RequestError:
    """Too many requests are waiting."""
    return RequestError(
        429,
        "Overloaded",
        "too many requests are waiting: try again later",
        retry_after=RETRY_SECONDS,
    )


def not_ready(why: str) -> RequestError:
    """The server is starting or stopping."""
    return RequestError(503, "Unhealthy", f"the server is {why}", retry_after=RETRY_SECONDS)


def without_folders(message: str) -> str:
    """A message with the last name of each path alone: folders are the operator's business."""
    return _FOLDERS.sub("", message)
