"""The queue of a server: waves across clients, fair shares, refusals, errors."""

import asyncio
import threading

import pytest

from lowcost_ft.errors import UserError
from lowcost_ft.serve.engine import WAVE_CHARACTERS, Engine
from lowcost_ft.serve.errors import RequestError


class Recorder:
    """Answers every input by itself, and remembers the waves; waits for `go` where it is closed."""

    def __init__(self):
        self.waves = []
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Event()

    def __call__(self, wave):
        self.waves.append([list(examples) for _, examples in wave])
        self.begun.set()
        assert self.go.wait(10)
        found = []
        for _, examples in wave:
            if "bad" in examples:
                found.append(UserError("a bad input"))
            elif "broken" in examples:
                found.append(RuntimeError("secretive words"))
            else:
                found.append([text.upper() for text in examples])
        return found


@pytest.fixture
def recorder():
    return Recorder()


def run(recorder, work, *, most_waiting=100):
    engine = Engine(recorder, most_waiting=most_waiting)
    engine.start()

    async def main():
        return await work(engine)

    try:
        return asyncio.run(main())
    finally:
        recorder.go.set()
        engine.stop(timeout=10)
        assert not engine.thread.is_alive()


async def until(event):
    while not event.is_set():
        await asyncio.sleep(0.005)


def ask(engine, model, texts, size=5):
    async def answers():
        (found,) = await engine.answer([(model, texts, [size] * len(texts))])
        return found

    return asyncio.ensure_future(answers())


def test_what_waits_is_answered_together(recorder):
    a, b = object(), object()

    async def work(engine):
        recorder.go.clear()
        first = ask(engine, a, ["one"])
        await until(recorder.begun)
        others = [ask(engine, model, [f"{n}"]) for n in range(5) for model in (a, b)]
        await asyncio.sleep(0.02)
        recorder.go.set()
        return await first, await asyncio.gather(*others)

    first, others = run(recorder, work)
    assert first == ["ONE"] and others == [[f"{n}"] for n in range(5) for _ in "ab"]
    assert recorder.waves == [[["one"]], [[f"{n}" for n in range(5)]] * 2]


def test_a_short_request_does_not_wait_for_all_of_a_long_one(recorder):
    model = object()
    done = []

    async def work(engine):
        recorder.go.clear()
        ask(engine, model, ["x"])
        await until(recorder.begun)
        size = WAVE_CHARACTERS // 8
        long = ask(engine, model, [f"{n}" for n in range(40)], size)
        short = ask(engine, model, ["short"], size)
        long.add_done_callback(lambda _: done.append("long"))
        short.add_done_callback(lambda _: done.append("short"))
        recorder.go.set()
        return await long, await short

    long, short = run(recorder, work)
    assert long == [f"{n}" for n in range(40)] and short == ["SHORT"]
    assert done == ["short", "long"]


def test_too_many_are_refused(recorder):
    async def work(engine):
        recorder.go.clear()
        waiting = [ask(engine, None, ["x"]) for _ in range(3)]
        await until(recorder.begun)
        with pytest.raises(RequestError) as refused:
            await ask(engine, None, ["y"])
        recorder.go.set()
        await asyncio.gather(*waiting)
        assert await ask(engine, None, ["y"]) == ["Y"]
        return refused.value

    refused = run(recorder, work, most_waiting=3)
    assert (refused.status, refused.retry_after) == (429, 1)


def test_a_request_of_several_models_takes_one_place_among_those_that_wait(recorder):
    async def work(engine):
        recorder.go.clear()
        models = [object() for _ in range(4)]
        several = asyncio.ensure_future(engine.answer([(m, ["x"], [1]) for m in models]))
        await until(recorder.begun)
        other = ask(engine, None, ["y"])
        await asyncio.sleep(0.02)
        assert engine.waiting == 2 and not other.done()
        with pytest.raises(RequestError) as refused:
            await engine.answer([(m, ["x"], [1]) for m in models])
        recorder.go.set()
        found = await several, await other, refused.value.status
        assert engine.waiting == 0
        return found

    assert run(recorder, work, most_waiting=2) == ([["X"]] * 4, ["Y"], 429)


def test_a_client_that_left_is_not_computed(recorder):
    async def work(engine):
        recorder.go.clear()
        first = ask(engine, None, ["x"])
        await until(recorder.begun)
        gone = ask(engine, None, ["gone"])
        await asyncio.sleep(0.01)
        gone.cancel()
        stays = ask(engine, None, ["stays"])
        await asyncio.sleep(0.01)
        recorder.go.set()
        await first
        assert await stays == ["STAYS"]
        assert engine.waiting == 0

    run(recorder, work)
    assert recorder.waves == [[["x"]], [["stays"]]]


def test_the_mistake_of_one_is_no_fault_of_the_others(recorder, caplog):
    async def work(engine):
        recorder.go.clear()
        first = ask(engine, None, ["x"])
        await until(recorder.begun)
        asked = [ask(engine, None, [text]) for text in ("good", "bad", "broken", "better")]
        await asyncio.sleep(0.01)
        recorder.go.set()
        await first
        return await asyncio.gather(*asked, return_exceptions=True)

    good, bad, broken, better = run(recorder, work)
    assert (good, better) == (["GOOD"], ["BETTER"])
    assert (bad.status, bad.message) == (422, "a bad input")
    assert (broken.status, "secretive" in broken.message) == (500, False)
    assert "secretive" not in caplog.text


def test_a_server_that_stops_answers_what_has_come(recorder):
    async def work(engine):
        recorder.go.clear()
        first = ask(engine, None, ["x"])
        await until(recorder.begun)
        second = ask(engine, None, ["y"])
        await asyncio.sleep(0.01)
        engine.refuse()
        with pytest.raises(RequestError) as refused:
            await ask(engine, None, ["z"])
        recorder.go.set()
        assert (await first, await second) == (["X"], ["Y"])
        return refused.value

    refused = run(recorder, work)
    assert (refused.status, refused.retry_after) == (503, 1)
