"""The routes that answer: Hugging Face's, TEI's, vLLM's, and the server's own."""

import time
import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from lowcost_ft.models.tokenizers import cut_end
from lowcost_ft.serve.answered import Answered
from lowcost_ft.serve.bodies import (
    AnswersBody,
    AnswersReply,
    ClassifyBody,
    ClassifyReply,
    ClassScore,
    ErrorReply,
    InferenceBody,
    PredictBody,
)
from lowcost_ft.serve.errors import RequestError, unprocessable
from lowcost_ft.serve.inputs import Input
from lowcost_ft.serve.models import ServedModel
from lowcost_ft.serve.responses import JsonResponse
from lowcost_ft.serve.service import Service, refuse_truncated

__all__ = ["REFUSALS", "answering_routes", "same_name", "tei_answer"]

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorReply, "description": "Not JSON, or nothing to answer; or a wrong Host."},
    401: {"model": ErrorReply, "description": "No key, or a wrong one."},
    403: {"model": ErrorReply, "description": "A page of another site asks."},
    404: {"model": ErrorReply, "description": "No such model, or several and none is named."},
    408: {"model": ErrorReply, "description": "The body took too long."},
    409: {"model": ErrorReply, "description": "Two models are named, or one is there already."},
    413: {"model": ErrorReply, "description": "Too many texts, or too long ones."},
    415: {"model": ErrorReply, "description": "The body is not application/json."},
    422: {"model": ErrorReply, "description": "Not what the model takes."},
    424: {"model": ErrorReply, "description": "The model gives no scores of classes."},
    429: {"model": ErrorReply, "description": "Too many requests are waiting."},
    500: {"model": ErrorReply, "description": "The model failed."},
    503: {"model": ErrorReply, "description": "The server starts or stops."},
}


def answering_routes(service: Service) -> APIRouter:
    """The routes of a server."""
    router = APIRouter(responses=REFUSALS)

    async def inference(request: Request, body: InferenceBody, name: str | None) -> Response:
        model = service.model(name)
        if problems := model.task.parameter_problems(body.parameters):
            raise unprocessable("; ".join(problems))
        single = not isinstance(body.inputs, list)
        inputs: list[Input] = [body.inputs] if not isinstance(body.inputs, list) else [*body.inputs]
        answers = await service.ask(request, model, inputs)
        found = [
            model.task.inference_answer(
                one.answer, body.parameters, scores=one.scores, logits=one.logits
            )
            for one in answers
        ]
        # Hugging Face's clients read the classes of one text out of a list of lists.
        nested = model.task.gives_class_scores
        return _reply(found[0] if single and not nested else found, answers)

    async def predict(request: Request, body: PredictBody, name: str | None) -> Response:
        return await tei_answer(service, request, body, name)

    async def classify(request: Request, body: ClassifyBody, name: str | None) -> Response:
        model = service.model(name)
        _needs_classes(model)
        inputs = [body.input] if isinstance(body.input, str) else body.input
        answers = await service.ask(request, model, inputs)
        _refuse_blank(answers)
        if body.truncate_prompt_tokens is None:
            refuse_truncated(answers, model)
        labels, tokens = model.task.labels, sum(one.tokens for one in answers)
        data = []
        for index, one in enumerate(answers):
            scores = _class_scores(one, raw=False)
            label = labels[max(range(len(scores)), key=scores.__getitem__)]
            data.append(
                {"index": index, "label": label, "probs": scores, "num_classes": len(scores)}
            )
        usage = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}
        content = {
            "id": f"classify-{uuid.uuid4().hex}",
            "object": "list",
            "created": int(time.time()),
            "model": model.name,
            "data": data,
            "usage": usage | {"prompt_tokens_details": None},
        }
        return _reply(content, answers)

    @router.post("/", summary="Hugging Face's inference API", response_model=Any)
    async def inference_of_any(request: Request, body: InferenceBody) -> Response:
        return await inference(request, body, body.model)

    @router.post("/models/{name}", summary="The same of one model", response_model=Any)
    async def inference_of_one(name: str, request: Request, body: InferenceBody) -> Response:
        return await inference(request, body, same_name(name, body.model))

    if not service.studio:  # With Label Studio, /predict takes its tasks as well.

        @router.post(
            "/predict",
            summary="Text Embeddings Inference's classification",
            response_model=list[ClassScore] | list[list[ClassScore]],
        )
        async def predict_by_any(request: Request, body: PredictBody) -> Response:
            return await predict(request, body, body.model)

        @router.post(
            "/models/{name}/predict",
            summary="The same of one model",
            response_model=list[ClassScore] | list[list[ClassScore]],
        )
        async def predict_by_one(name: str, request: Request, body: PredictBody) -> Response:
            return await predict(request, body, same_name(name, body.model))

    @router.post("/classify", summary="vLLM's classification", response_model=ClassifyReply)
    async def classify_by_any(request: Request, body: ClassifyBody) -> Response:
        return await classify(request, body, body.model)

    @router.post(
        "/models/{name}/classify", summary="The same of one model", response_model=ClassifyReply
    )
    async def classify_by_one(name: str, request: Request, body: ClassifyBody) -> Response:
        return await classify(request, body, same_name(name, body.model))

    @router.post("/answers", summary="Answers of several models", response_model=AnswersReply)
    async def answers_of_several(request: Request, body: AnswersBody) -> Response:
        names: Sequence[str | None] = [None] if body.models is None else body.models
        models = [service.model(name) for name in dict.fromkeys(names)]
        found = await service.ask_all(request, models, [*body.inputs])
        answers, notes = {}, {}
        for model, own in zip(models, found, strict=True):
            answers[model.name] = [one.answer for one in own]
            cut = sum(one.truncated for one in own)
            predictor = model.predictor
            told = predictor.task.too_long(f"{predictor.max_length} tokens")
            lost = predictor.task.lost_when_cut(cut_end(predictor.tokenizer))
            notes[model.name] = [f"{cut} of {len(own)} {told} and lost {lost}"] if cut else []
        return JsonResponse({"answers": answers, "notes": notes})

    return router


async def tei_answer(
    service: Service, request: Request, body: PredictBody, name: str | None
) -> Response:
    """Text Embeddings Inference's `/predict`."""
    model = service.model(name)
    _needs_classes(model)
    side = getattr(model.predictor.tokenizer, "truncation_side", "right")
    if body.truncate and body.truncation_direction.lower() != side:
        raise unprocessable(
            f"truncation_direction: what is too long is cut as in training, on the {side}"
        )
    batch: list[Input]
    if isinstance(body.inputs, str):
        single, batch = True, [body.inputs]
    elif all(isinstance(one, str) for one in body.inputs):
        texts = [one for one in body.inputs if isinstance(one, str)]
        single, batch = True, [texts[0] if len(texts) == 1 else texts]
    else:
        single = False
        batch = [one[0] if len(one) == 1 else list(one) for one in body.inputs]
    answers = await service.ask(request, model, batch)
    _refuse_blank(answers)
    if not body.truncate:
        refuse_truncated(answers, model)
    found = []
    for one in answers:
        scores = _class_scores(one, raw=body.raw_scores)
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        labels = model.task.labels
        found.append([{"score": scores[index], "label": labels[index]} for index in order])
    return _reply(found[0] if single else found, answers)


def same_name(path: str, body: str | None) -> str:
    """The name in the path, which the one in the body must not contradict."""
    if body is not None and body != path:
        raise RequestError(
            409, "Validation", "the path and `model` name two models: leave one of them out"
        )
    return path


def _needs_classes(model: ServedModel) -> None:
    if not model.task.gives_class_scores:
        raise RequestError(
            424,
            "Backend",
            f"{model.name} gives no scores of classes: ask it at /models/{model.name} or /answers",
        )


def _refuse_blank(answers: Sequence[Answered]) -> None:
    for number, one in enumerate(answers, 1):
        if one.scores is None and not one.tokens:
            raise RequestError(400, "Empty", f"input {number} is empty: give a text")


def _class_scores(one: Answered, *, raw: bool) -> list[float]:
    scores = one.logits if raw else one.scores
    if scores is None:
        raise unprocessable("the text must mark one pair of entities to have scores of classes")
    return [float(score) for score in scores]


def _reply(content: Any, answers: Sequence[Answered]) -> Response:
    cut = sum(one.truncated for one in answers)
    # In a header, since the other servers' forms have no place for it.
    return JsonResponse(content, headers={"X-Truncated-Inputs": str(cut)} if cut else None)
