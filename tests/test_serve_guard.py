"""What stands in front of a server's routes, and how the process stops."""

import asyncio
import json
import os
import signal
import time

import pytest
import uvicorn

from lowcost_ft.serve.guard import Guard
from lowcost_ft.serve.limits import Access, Limits
from lowcost_ft.serve.metrics import Metrics
from lowcost_ft.serve.running import SAME_STOP_SECONDS, _Server


def guarded(app):
    return Guard(app, limits=Limits(), access=Access(), metrics=Metrics(), log_texts=False)


def scope(method="POST", path="/answers"):
    headers = [(b"host", b"localhost")]
    return {"type": "http", "method": method, "path": path, "headers": headers}


class Channel:
    """A client that sends one body and then waits, and what it was sent."""

    def __init__(self):
        self.sent = []
        self.given = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive(self):
        if self.given:
            return self.given.pop()
        await asyncio.Event().wait()

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}


def test_a_request_that_the_server_no_longer_waits_for_is_told_so():
    async def endless(scope, receive, send):
        await asyncio.Event().wait()

    async def main():
        channel = Channel()
        task = asyncio.ensure_future(guarded(endless)(scope(), channel.receive, channel.send))
        await asyncio.sleep(0.02)
        task.cancel()
        await task
        return channel

    channel = asyncio.run(main())
    assert channel.status == 503 and channel.headers["retry-after"] == "1"
    assert json.loads(channel.sent[1]["body"])["error"] == "the server is stopping"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once(number, monkeypatch, capsys):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    server = _Server(uvicorn.Config(None, log_config=None))
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    server.handle_exit(signal.SIGTERM, None)
    # What a program in between passes on as well is no second wish.
    server.handle_exit(number, None)
    assert server.should_exit and not ended
    now[0] += SAME_STOP_SECONDS
    server.handle_exit(number, None)
    assert ended == [128 + number]
    assert "stopped at once" in capsys.readouterr().err
