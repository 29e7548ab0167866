"""What all routes share: the models, the queue, and how a request is answered."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from lowcost_ft.serve.answered import Answered
from lowcost_ft.serve.engine import Engine
from lowcost_ft.serve.errors import RequestError, not_ready, unprocessable
from lowcost_ft.serve.inputs import SLOW_CHARACTERS, Input, check_size, read_inputs
from lowcost_ft.serve.limits import Limits
from lowcost_ft.serve.metrics import Metrics
from lowcost_ft.serve.models import Models, ServedModel

__all__ = ["Service", "refuse_truncated"]

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Service:
    """One server.

    Attributes:
        models: Its models.
        engine: Its queue.
        limits: How much one request may ask for.
        metrics: What it counts.
        load: Loads the model that a name means; see `Loader.load_named`.
        regroup: To be called when a model has gone; see `Loader.regroup`.
        studio: Whether it answers Label Studio.
    """

    models: Models
    engine: Engine
    load: Callable[[str], dict[str, Any]]
    regroup: Callable[[], None]
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    studio: bool = False

    def __post_init__(self) -> None:
        self.engine.on_wave = self.metrics.wave.observe

    def model(self, name: str | None) -> ServedModel:
        """The model that a request is for.

        Raises:
            RequestError: There is none of that name, or the models are not loaded yet.
        """
        if not self.models.ready:
            raise not_ready("still loading its models")
        return self.models.get(name)

    async def ask(
        self, request: Request, model: ServedModel, inputs: Sequence[Input]
    ) -> list[Answered]:
        """The model's answers to inputs, in their order.

        Raises:
            RequestError: They are too many, too long, or not what the model takes; too many
                requests are waiting; or the client has left.
        """
        (found,) = await self.ask_all(request, [model], inputs)
        return found

    async def ask_all(
        self, request: Request, models: Sequence[ServedModel], inputs: Sequence[Input]
    ) -> list[list[Answered]]:
        """The answers of several models to the same inputs; they wait as one request."""
        return await _while_wanted(request, self._ask(models, inputs))

    async def _ask(
        self, models: Sequence[ServedModel], inputs: Sequence[Input]
    ) -> list[list[Answered]]:
        sizes = check_size(inputs, self.limits)
        asked = []
        for model in models:
            if sum(sizes) > SLOW_CHARACTERS:
                examples = await asyncio.to_thread(read_inputs, model, inputs)
            else:
                examples = read_inputs(model, inputs)
            if len(examples) != len(inputs):
                raise unprocessable("each input must be one text, or one pair of them")
            asked.append((model, examples, sizes))
        found: list[list[Answered]] = await self.engine.answer(asked)
        for model, answers in zip(models, found, strict=True):
            self.metrics.inputs.labels(model.name).inc(len(answers))
            self.metrics.tokens.labels(model.name).inc(sum(answer.tokens for answer in answers))
        return found


async def _while_wanted(request: Request, work: Coroutine[Any, Any, Value]) -> Value:
    """The result of the work, which ends early where the client leaves."""
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_left(request.receive()))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise RequestError(499, "Validation", "the client has left")
    finally:
        left.cancel()
        task.cancel()


async def _left(message: Awaitable[Any]) -> None:
    await message


def refuse_truncated(answers: Sequence[Answered], model: ServedModel) -> None:
    """Refuses inputs that lost their end.

    Raises:
        RequestError: Names the first of them, and the limit.
    """
    for number, answer in enumerate(answers, 1):
        if answer.truncated:
            raise RequestError(
                413,
                "Validation",
                f"input {number} has more than the {model.predictor.max_length} tokens that the "
                f"model reads: shorten it, or send truncate: true",
            )
