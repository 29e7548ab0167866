"""What stands in front of every route: hosts, other sites, keys, sizes, headers, counts, logs."""

import asyncio
import base64
import binascii
import contextlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders

from lowcost_ft.serve.errors import RequestError, not_ready
from lowcost_ft.serve.limits import Access, Limits
from lowcost_ft.serve.metrics import Metrics
from lowcost_ft.serve.page_files import PAGE_FILES
from lowcost_ft.serve.responses import error_response

__all__ = ["Guard"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OPEN_PATHS = frozenset({*PAGE_FILES, "/health", "/ready"})
"""Paths that need no key for GET: they tell nothing about models and texts. POST / asks a model."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_WATCHED_PATHS = frozenset({"/health", "/ready", "/metrics"})
"""What programs ask again and again."""

_DRAINED_BODIES = 8
"""Bodies of the largest size that are read and dropped behind one that is too large."""

_DRAIN_SECONDS = 2.0
"""How long that may take."""

_LOG = logging.getLogger("lowcost_ft.serve")


class Guard:
    """Middleware in ASGI's plain form.

    Args:
        app: What it guards.
        limits: Sizes.
        access: Hosts, other sites and keys.
        metrics: Where requests are counted.
        log_texts: Whether the log shows the bodies of requests.
    """

    def __init__(
        self, app: Any, *, limits: Limits, access: Access, metrics: Metrics, log_texts: bool
    ) -> None:
        self.app = app
        self.limits = limits
        self.access = access
        self.metrics = metrics
        self.log_texts = log_texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers or refuses one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # There are none here.
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        began, status, started = time.perf_counter(), 500, False
        asked = scope
        if scope["method"] == "HEAD":  # Answered as GET is; the server leaves the body out.
            scope = {**scope, "method": "GET"}
        headers = Headers(scope=scope)
        origin = headers.get("origin")

        async def send_on(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                self._add_headers(message, origin)
            await send(message)

        try:
            body = None
            try:
                self._check(scope, headers)
                if scope["method"] == "OPTIONS" and origin is not None:
                    await self._preflight(send_on)
                    return
                body = await self._body(headers, receive)
            except RequestError as error:
                response = error_response(error)
                if error.status in (408, 413):
                    # What is left of the body would be read as the next request.
                    response.headers["Connection"] = "close"
                if error.status == 413:
                    await self._drain(headers, receive)
                await response(scope, receive, send_on)
                return
            if body is None:  # The client left.
                status = 499
                return
            await self._run(scope, _replayed(body, receive), send_on)
        except asyncio.CancelledError:
            # The server was told to stop, and the time that requests had left is over.
            if not started:
                await error_response(not_ready("stopping"))(scope, receive, send_on)
        finally:
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            self._log(asked, status, seconds, body)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application; what it raises was answered already, and may hold texts."""
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            _LOG.error("%s failed: %s", ascii(scope["path"]), type(error).__name__)

    def _log(self, scope: Scope, status: int, seconds: float, body: bytes | None) -> None:
        # Those who watch a server ask every few seconds, and would fill the log.
        watched = scope["path"] in _WATCHED_PATHS and status < 400
        level = logging.DEBUG if watched else logging.INFO
        if not _LOG.isEnabledFor(level):
            return
        # A query could hold a text; a path has names of models alone.
        path = ascii(scope["path"])[1:-1][:200]
        text = f"{scope['method']} {path} {status} {1000 * seconds:.1f} ms"
        if self.log_texts and body:
            text += f" {ascii(body.decode('utf-8', 'replace'))[1:-1]}"
        _LOG.log(level, "%s", text)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if "*" not in self.access.hosts and _without_port(host) not in self.access.hosts:
            raise RequestError(
                400,
                "Validation",
                "this server does not answer for the name in the Host header: start it with "
                "--allowed-hosts NAME",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin, host):
            raise RequestError(
                403,
                "Validation",
                "pages of other sites may not ask this server: start it with --cors-origins ORIGIN",
            )
        is_open = scope["method"] == "GET" and scope["path"] in OPEN_PATHS
        if self.access.keys and not is_open and scope["method"] != "OPTIONS":
            given = _key(headers.get("authorization", ""))
            # Each is compared in full, so that time tells nothing.
            if not any([hmac.compare_digest(given, key.encode()) for key in self.access.keys]):
                raise RequestError(
                    401, "Unauthorized", "give a key of this server: Authorization: Bearer KEY"
                )

    def _is_own(self, origin: str, host: str) -> bool:
        allowed = self.access.origins
        return "*" in allowed or origin in allowed or origin.partition("://")[2] == host

    async def _body(self, headers: Headers, receive: Receive) -> bytes | None:
        """The whole body; None where the client leaves meanwhile."""
        most = self.limits.body_bytes
        told = headers.get("content-length", "")
        if told.isdigit() and int(told) > most:
            raise _too_large(most)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise _too_large(most)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise RequestError(
                408,
                "Validation",
                f"the body did not arrive within {self.limits.body_seconds:g} seconds",
            ) from None

    async def _drain(self, headers: Headers, receive: Receive) -> None:
        """Reads on and keeps nothing: a client that is still sending would not see the answer."""
        told = headers.get("content-length", "")
        left = _DRAINED_BODIES * self.limits.body_bytes
        if told.isdigit() and int(told) > left:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return

    async def _preflight(self, send: Send) -> None:
        headers = [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", b"authorization, content-type"),
            (b"access-control-max-age", b"600"),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _add_headers(self, message: Message, origin: str | None) -> None:
        headers = MutableHeaders(raw=list(message["headers"]))
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if origin is not None and self.access.origins:
            allowed = "*" if "*" in self.access.origins else origin
            if allowed == "*" or origin in self.access.origins:
                headers["Access-Control-Allow-Origin"] = allowed
                headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            headers.append("Vary", "Origin")
        message["headers"] = headers.raw


def _too_large(most: int) -> RequestError:
    return RequestError(
        413, "Validation", f"the body is larger than {most:,} bytes: send several requests"
    )


def _without_port(host: str) -> str:
    name, colon, port = host.strip().lower().rpartition(":")
    return name if colon and port.isdigit() else host.strip().lower()


def _key(authorization: str) -> bytes:
    """The key in an Authorization header: a bearer token, or the password of basic access."""
    scheme, _, value = authorization.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value.encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Hands out the body that was read; afterwards waits for the client to leave."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
