"""A server in a thread of the test, and the plainest of clients."""

import http.client
import json
import threading
import time
from contextlib import contextmanager

import uvicorn

from lowcost_ft.serve.app import build_app
from lowcost_ft.serve.engine import Engine
from lowcost_ft.serve.limits import Access, Limits
from lowcost_ft.serve.loading import Loader
from lowcost_ft.serve.models import Models, model_folders
from lowcost_ft.serve.running import _Compute, _listen, _Server
from lowcost_ft.serve.service import Service

__all__ = ["Client", "loaded", "serving"]


def loaded(*folders, models_dir=None):
    """Models of run folders."""
    models = Models()
    loader = Loader(models=models, folder=models_dir, say=lambda text: None)
    loader.load_all(model_folders(folders))
    return models, loader


@contextmanager
def serving(
    models, loader=None, *, limits=None, access=None, compute=None, log_texts=False, studio=False
):
    """A server that answers; yields a client of it."""
    limits, loader = limits or Limits(), loader or Loader(models=models)
    engine = Engine(compute or _Compute(models), most_waiting=limits.waiting)
    service = Service(
        models=models,
        engine=engine,
        limits=limits,
        load=loader.load_named,
        regroup=loader.regroup,
        studio=studio,
    )
    app = build_app(service, access or Access(), log_texts=log_texts)
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none")
    server = _Server(config)
    listening = _listen("127.0.0.1", 0)
    engine.start()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    client = Client(listening.getsockname()[1])
    client.service, client.server = service, server
    try:
        yield client
    finally:
        server.should_exit = True
        thread.join(20)
        engine.stop(timeout=20)
        listening.close()


class Client:
    """Sends requests, each over a connection of its own."""

    def __init__(self, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def send(self, method, path, body=None, **headers):
        """Status, headers, and the body as JSON holds it or as text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            given.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, body, given)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        is_json = "json" in response.headers.get("content-type", "")
        return (
            response.status,
            response.headers,
            json.loads(content) if is_json and content else content,
        )

    def post(self, path, body, **headers):
        """Status and body."""
        status, _, content = self.send("POST", path, body, **headers)
        return status, content

    def get(self, path, **headers):
        """Status and body."""
        status, _, content = self.send("GET", path, **headers)
        return status, content
