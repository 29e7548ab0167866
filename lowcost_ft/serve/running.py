"""The server as a process: it listens, loads its models, and stops in order."""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from lowcost_ft.errors import UserError
from lowcost_ft.serve.app import build_app
from lowcost_ft.serve.engine import Engine
from lowcost_ft.serve.limits import Access, Limits
from lowcost_ft.serve.loading import Loader
from lowcost_ft.serve.models import ModelFolder, Models, ServedModel
from lowcost_ft.serve.service import Service

__all__ = ["ServerSettings", "run_server"]

GRACE_SECONDS = 30
"""How long requests that have begun may take once the server is told to stop."""

SAME_STOP_SECONDS = 0.5
"""Signals that lie closer together count as one."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How a server is run.

    Attributes:
        host: Address that it listens on.
        port: Its port; 0 lets the system choose.
        limits: How much one request may ask for.
        access: Who may ask.
        models_dir: Where more models may come from while it runs.
        studio: Whether it answers Label Studio.
        base_model: See `load_predictor`.
        precision: Which file of exported folders is run.
        trust_remote_code: Whether the base models' own Python code may run.
        num_threads: CPU threads.
        log_texts: Whether the log shows the bodies of requests.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    limits: Limits = field(default_factory=Limits)
    access: Access = field(default_factory=Access)
    models_dir: str | None = None
    studio: bool = False
    base_model: str | None = None
    precision: str | None = None
    trust_remote_code: bool = False
    num_threads: int | None = None
    log_texts: bool = False


def run_server(folders: list[ModelFolder], settings: ServerSettings) -> None:
    """Serves models until the process is told to stop.

    It listens at once, and answers 503 until the models are loaded.

    Raises:
        UserError: The port is taken, or a folder holds no model that can be used.
    """
    _set_up_log()
    listening = _listen(settings.host, settings.port)
    models = Models()
    loader = Loader(
        models=models,
        folder=settings.models_dir,
        base_model=settings.base_model,
        trust_remote_code=settings.trust_remote_code,
        num_threads=settings.num_threads,
        precision=settings.precision,
        say=_say,
    )
    engine = Engine(_Compute(models), most_waiting=settings.limits.waiting)
    service = Service(
        models=models,
        engine=engine,
        limits=settings.limits,
        load=loader.load_named,
        regroup=loader.regroup,
        studio=settings.studio,
    )
    app: Any = build_app(service, settings.access, log_texts=settings.log_texts)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    failed: list[BaseException] = []

    def load() -> None:
        try:
            loader.load_all(folders)
            names = ", ".join(model.name for model in models.all()) or "no model yet"
            _say(f"ready: {names}")
        except BaseException as error:
            failed.append(error)
            server.should_exit = True

    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _say(f"listening on http://{shown}:{port}/ (stop with Ctrl-C)")
    engine.start()
    loading = threading.Thread(target=load, name="loading", daemon=True)
    loading.start()
    try:
        server.run(sockets=[listening])
    finally:
        engine.stop(timeout=GRACE_SECONDS)
        listening.close()
    if failed:
        raise failed[0]
    _say("stopped")
    # A library that is ended while it loads a model may abort the process.
    loading.join(timeout=GRACE_SECONDS)


class _Server(uvicorn.Server):
    """uvicorn's server, for which a stop that was asked for is no failure."""

    _told_at = 0.0

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stops in order on SIGINT and SIGTERM; the second one stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stops in order; whoever asks again does not want to wait for the models."""
        now = time.monotonic()
        if not self.should_exit:
            self._told_at = now
        elif now - self._told_at < SAME_STOP_SECONDS:
            return  # A program in between has passed on what the terminal sent to both.
        else:
            _say("stopped at once: requests that had begun have no answers")
            # A model that computes cannot be interrupted otherwise, and no file is being written.
            os._exit(128 + sig)
        super().handle_exit(sig, frame)


class _Compute:
    """Answers waves; loads what computes once there is something to compute."""

    def __init__(self, models: Models) -> None:
        self.models = models

    def __call__(self, wave: list[tuple[ServedModel, list[Any]]]) -> list[list[Any] | Exception]:
        """See `answer_wave`."""
        import torch

        from lowcost_ft.serve.computing import answer_wave

        # A thread of its own counts its own threads.
        torch.set_num_threads(wave[0][0].num_threads)
        found: list[list[Any] | Exception] = []
        found.extend(answer_wave(wave, self.models.grouping))
        return found


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UserError(f"--host {host}: no such address ({error.strerror})") from None
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        # From now on requests wait instead of being turned away: the address is told before the
        # server runs.
        listening.listen()
    except OSError as error:
        listening.close()
        raise UserError(
            f"--port {port} cannot be used on {host} ({error.strerror}): give another one, or 0 "
            "for any"
        ) from None
    listening.set_inheritable(True)
    return listening


def _set_up_log() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    log = logging.getLogger("lowcost_ft.serve")
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
