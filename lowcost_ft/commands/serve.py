"""`lowcost-ft serve`: runs behind HTTP, and a page to try them."""

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from lowcost_ft.commands.saved_run import Precision, check_threads
from lowcost_ft.config.values import parse_bytes
from lowcost_ft.errors import UserError
from lowcost_ft.serve.limits import Access, Limits

if TYPE_CHECKING:
    from lowcost_ft.serve.models import ModelFolder

__all__ = ["Serve", "serve"]

_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_LIBRARIES = ("fastapi", "uvicorn", "prometheus_client")


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serve runs over HTTP, with a page to try them at /."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ()
    """Folders of completed runs, each called by the folder's name, or NAME=FOLDER."""
    exported: str | None = None
    """Folders that `lowcost-ft export` wrote, separated by commas; NAME=FOLDER as above."""
    precision: Precision | None = None
    """Which file of exported folders to run. Default: the first of fp32, int8 and fp16 that is
    there."""
    host: str = "127.0.0.1"
    """Address to listen on. 0.0.0.0 lets other machines connect; give --allowed-hosts then."""
    port: int = 8000
    """Port; 0 takes any free one."""
    models_dir: str | None = None
    """Folder of runs that may be added and removed while the server runs, by their names."""
    label_studio: bool = False
    """Answer Label Studio as an ML backend: /predict, /setup, /webhook."""
    api_key_file: str | None = None
    """File with keys, one a line: each request then needs one of them. Default: none is needed."""
    allowed_hosts: str | None = None
    """Names by which this server is called (Host header), besides localhost, separated by commas;
    * allows any. Default: the address in --host."""
    cors_origins: str | None = None
    """Other sites whose pages may use the server, such as https://example.org, separated by commas;
    * allows any. Default: none."""
    max_body_size: str = "2MB"
    """Largest body of a request."""
    max_texts: int = 256
    """Largest number of inputs in a request."""
    max_text_length: int = 20_000
    """Largest number of characters in an input."""
    max_waiting: int = 512
    """Largest number of requests that wait; one more is answered with 429."""
    log_texts: bool = False
    """Show the bodies of requests in the log. Off, since they hold what people wrote."""
    base_model: str | None = None
    """Name or folder of the runs' base model, if it is no longer what run.json names."""
    trust_remote_code: bool = False
    """Run model code that comes with the base model. Off unless you trust its author."""
    num_threads: int | None = None
    """CPU threads. Default: OMP_NUM_THREADS if you set it, else the physical cores."""
    debug: bool = False
    """Show a traceback with each error."""


def serve(command: Serve) -> None:
    """Serves the runs until the process is told to stop.

    Raises:
        UserError: A flag or a run is wrong, a library is missing, or the port is taken.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"serve needs {', '.join(missing)}: run `pip install 'lowcost_ft[serve]'`")
    check_threads(command)
    given = [*command.runs, *_parts(command.exported)]
    problems = _problems(command, given)
    keys = _keys(command.api_key_file, problems)
    size = 0
    try:
        size = parse_bytes(command.max_body_size)
    except ValueError as error:
        problems.append(f"--max-body-size: {error}")
    if problems:
        raise UserError(problems)
    from lowcost_ft.serve.models import model_folders
    from lowcost_ft.serve.running import ServerSettings, run_server

    if command.host not in ("127.0.0.1", "localhost", "::1") and not keys:
        print(
            f"note: whoever reaches port {command.port} of this machine can ask the models: "
            "--api-key-file asks for a key",
            file=sys.stderr,
        )
    folders = model_folders(given)
    if problems := _precision_problems(command, folders):
        raise UserError(problems)
    run_server(
        folders,
        ServerSettings(
            host=command.host,
            port=command.port,
            limits=Limits(
                body_bytes=size,
                texts=command.max_texts,
                characters=command.max_text_length,
                waiting=command.max_waiting,
            ),
            access=_access(command, keys),
            models_dir=command.models_dir,
            studio=command.label_studio,
            base_model=command.base_model,
            precision=command.precision,
            trust_remote_code=command.trust_remote_code,
            num_threads=command.num_threads,
            log_texts=command.log_texts,
        ),
    )


def _precision_problems(command: Serve, folders: "list[ModelFolder]") -> list[str]:
    """Folders that were not exported where only such may stand, and a flag for such alone."""
    named = len(_parts(command.exported))
    problems = [
        f"--exported {folder.path}: is not an exported folder; give it without --exported, or "
        "run lowcost-ft export first"
        for folder in folders[len(folders) - named :]
        if not folder.run.get("export")
    ]
    exported = [folder for folder in folders if folder.run.get("export")]
    if command.precision and not exported and command.models_dir is None:
        problems.append(
            f"--precision {command.precision}: no folder is an exported one; leave the flag out"
        )
    return problems


def _access(command: Serve, keys: tuple[str, ...]) -> Access:
    """Names and sites as browsers send them, and keys."""
    # A page on the web cannot be called by the local names, and probes of this machine use them.
    hosts = [*_LOCAL, *(_parts(command.allowed_hosts) or [command.host])]
    return Access(
        hosts=frozenset(_bracketed(name).lower() for name in hosts),
        origins=frozenset(one.rstrip("/").lower() for one in _parts(command.cors_origins)),
        keys=keys,
    )


def _parts(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _bracketed(host: str) -> str:
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def _problems(command: Serve, given: list[str]) -> list[str]:
    problems = []
    if not given and command.models_dir is None:
        problems.append("give run folders, such as: lowcost-ft serve runs/ner-lora")
    if not 0 <= command.port <= 65535:
        problems.append(f"--port {command.port} is not a port: give a number from 0 to 65535")
    for name in ("max_texts", "max_text_length", "max_waiting"):
        if (value := getattr(command, name)) < 1:
            flag = name.replace("_", "-")
            problems.append(f"--{flag} {value} is too small: it must be at least 1")
    if command.models_dir is not None and not Path(command.models_dir).is_dir():
        problems.append(f"--models-dir {command.models_dir}: no such folder")
    problems += [
        f"--allowed-hosts {host}: give the name alone; the port does not count"
        for host in _parts(command.allowed_hosts)
        if "/" in host or host.count(":") == 1 or "]:" in host
    ]
    problems += [
        f"--cors-origins {origin}: give what a browser sends, such as https://example.org"
        for origin in _parts(command.cors_origins)
        if origin != "*" and ("://" not in origin or origin.rstrip("/").count("/") != 2)
    ]
    return problems


def _keys(path: str | None, problems: list[str]) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        text = Path(path).read_text("utf-8")
        mode = os.stat(path).st_mode
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"--api-key-file {path}: cannot be read ({type(error).__name__})")
        return ()
    keys = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not keys:
        problems.append(f"--api-key-file {path}: holds no key: write one a line")
    if any(len(key) < 16 or not key.isascii() for key in keys):
        problems.append(
            f"--api-key-file {path}: a key is shorter than 16 characters, or not of ASCII: make "
            "one with `openssl rand -hex 32`"
        )
    if mode & 0o004:
        print(
            f"note: every user of this machine can read {path}: chmod 600 {path}",
            file=sys.stderr,
        )
    return keys
