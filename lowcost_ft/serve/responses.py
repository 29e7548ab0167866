"""Answers as JSON: always valid, whatever a client or a model has put into them."""

import json
import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from lowcost_ft.serve.errors import RequestError

__all__ = ["JsonResponse", "error_response"]


class JsonResponse(JSONResponse):
    """A JSON body; NaN and infinity, which JSON does not have, become null."""

    def render(self, content: Any) -> bytes:
        """The body."""
        try:
            text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            return text.encode("utf-8")
        except UnicodeEncodeError:  # Half of a surrogate pair, from a client.
            return json.dumps(_finite(content), allow_nan=False).encode("ascii")
        except ValueError:
            return json.dumps(_finite(content), allow_nan=False).encode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def error_response(error: RequestError) -> JsonResponse:
    """A refusal, in the form of Text Embeddings Inference."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JsonResponse(
        {"error": error.message, "error_type": error.kind},
        status_code=error.status,
        headers=headers,
    )
