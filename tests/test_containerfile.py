"""The Containerfile, without a container: its commands in a fresh environment, its server asked."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from lowcost_ft.commands.main import _parse

ROOT = Path(__file__).resolve().parent.parent
STEPS = [
    line.partition(" ")[::2]
    for line in (ROOT / "Containerfile").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


def values(kind):
    return [value for name, value in STEPS if name == kind]


def test_what_is_copied_exists_and_the_entry_parses():
    for value in values("COPY"):
        *sources, _ = value.split()
        assert all((ROOT / source).exists() for source in sources)
    (entry,) = map(json.loads, values("ENTRYPOINT"))
    command = _parse(entry[1:])
    assert (command.host, command.port, command.models_dir) == ("0.0.0.0", 8000, "/models")
    # Exported folders are served, too.
    assert any("[serve]' onnxruntime" in value for value in values("RUN"))
    assert values("USER") == ["models"] and values("EXPOSE") == ["8000"]


@pytest.mark.slow
def test_its_commands_make_a_server_that_answers(trained_run, tmp_path):
    folder = trained_run("ner", "bert")
    place = {"/opt/lowcost_ft": str(tmp_path / "venv"), "/models": str(tmp_path / "models")}
    source = tmp_path / "srv"
    (tmp_path / "models").mkdir()
    shutil.copytree(folder, tmp_path / "models" / "ner")
    environment = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "VIRTUAL_ENV")}
    for name, value in STEPS:
        for path, here in place.items():
            value = value.replace(path, here)
        if name == "COPY":
            *files, target = value.split()
            (source / target).mkdir(parents=True, exist_ok=True)
            for file in files:
                if (ROOT / file).is_dir():
                    shutil.copytree(ROOT / file, source / target, dirs_exist_ok=True)
                else:
                    shutil.copy(ROOT / file, source / target)
        elif name == "RUN" and not value.startswith("useradd"):
            value = re.sub(r"^python ", f"{sys.executable} ", value)
            subprocess.run(value, shell=True, cwd=source, env=environment, check=True)
        elif name == "HEALTHCHECK":
            check = value.removeprefix("CMD ")
        elif name == "ENTRYPOINT":
            entry = json.loads(value)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([*entry, "--port", str(port)], cwd=tmp_path, env=environment)
    try:
        check = check.replace("8000", str(port))
        deadline = time.monotonic() + 300
        while subprocess.run(shlex.split(check), stderr=subprocess.DEVNULL).returncode:
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(1)
        url = f"http://127.0.0.1:{port}"
        for path, body in (
            ("/v1/load_lora_adapter", {"lora_name": "ner"}),
            ("/models/ner", {"inputs": "anna lives in oslo"}),
        ):
            request = urllib.request.Request(
                url + path, json.dumps(body).encode(), {"content-type": "application/json"}
            )
            assert urllib.request.urlopen(request).status == 200
    finally:
        server.terminate()
        assert server.wait(60) == 0
