"""The routes for those who run the server: health, metrics, models that come and go, the page."""

import asyncio
from importlib import metadata
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse, PlainTextResponse

from lowcost_ft.serve.bodies import HealthReply, InfoReply, LoadBody, UnloadBody
from lowcost_ft.serve.errors import RequestError, not_ready
from lowcost_ft.serve.page_files import PAGE_FILES
from lowcost_ft.serve.responses import JsonResponse
from lowcost_ft.serve.routes import REFUSALS
from lowcost_ft.serve.service import Service

__all__ = ["operating_routes"]

_REFUSED = (400, 401, 403)
"""Status codes with which any route may refuse a request."""
_SCHEMA = {"schema": {"$ref": "#/components/schemas/ErrorReply"}}
_JSON_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {
        "description": REFUSALS[code]["description"],
        "content": {"application/json": _SCHEMA},
    }
    for code in _REFUSED
}
"""The same for routes that answer in another form than JSON, which FastAPI would give these too."""
_DTYPES = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
"""Precision of a file of an exported folder -> what Text Embeddings Inference calls it."""
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def operating_routes(service: Service) -> APIRouter:
    """The routes of a server."""
    router = APIRouter(responses={code: REFUSALS[code] for code in _REFUSED})
    loading = asyncio.Lock()

    @router.get("/health", summary="Whether the server lives", response_model=HealthReply)
    async def health() -> Response:
        return JsonResponse({"status": "UP", "model_class": "lowcost_ft"})

    @router.get(
        "/ready",
        summary="Whether it answers",
        response_model=dict[str, str],
        responses={503: REFUSALS[503]},
    )
    async def ready() -> Response:
        if not service.models.ready:
            raise not_ready("still loading its models")
        if service.engine.stopping:
            raise not_ready("stopping")
        return JsonResponse({"status": "ready"})

    @router.get(
        "/metrics",
        summary="Counts for Prometheus",
        response_class=PlainTextResponse,
        responses=_JSON_REFUSALS,
    )
    async def metrics() -> Response:
        service.metrics.waiting.set(service.engine.waiting)
        service.metrics.models.set(len(service.models.all()))
        return Response(
            service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    @router.get("/info", summary="Models and limits", response_model=InfoReply)
    async def info() -> Response:
        return JsonResponse(_info(service))

    @router.get("/v1/models", summary="Models, as OpenAI lists them", response_model=dict[str, Any])
    async def listed() -> Response:
        data = [
            {
                "id": model.name,
                "object": "model",
                "created": int(model.loaded_at),
                "owned_by": "lowcost_ft",
                "parent": model.folder.shown_base,
            }
            for model in service.models.all()
        ]
        return JsonResponse({"object": "list", "data": data})

    @router.post(
        "/v1/load_lora_adapter",
        summary="Add a model from the operator's folder",
        response_model=dict[str, Any],
        responses=REFUSALS,
    )
    async def load(body: LoadBody) -> Response:
        if body.lora_path is not None and body.lora_path != body.lora_name:
            raise RequestError(
                403,
                "Validation",
                "lora_path: models are loaded from the folder that the operator named, by "
                "lora_name: leave the path out",
            )
        if not service.models.ready:
            raise not_ready("still loading its models")
        async with loading:
            described = await asyncio.to_thread(service.load, body.lora_name)
        return JsonResponse(described)

    @router.post(
        "/v1/unload_lora_adapter",
        summary="Remove a model that was added",
        response_model=dict[str, Any],
        responses=REFUSALS,
    )
    async def unload(body: UnloadBody) -> Response:
        service.model(body.lora_name)
        async with loading:
            service.models.remove(body.lora_name)
            await asyncio.to_thread(service.regroup)
        return JsonResponse({"removed": body.lora_name})

    def page(file: Path) -> Any:
        content, kind = file.read_bytes(), _KINDS[file.suffix]

        async def send(request: Request) -> Response:
            return Response(content, media_type=f"{kind}; charset=utf-8")

        return send

    for path, file in PAGE_FILES.items():
        router.add_api_route(
            path,
            page(file),
            methods=["GET"],
            response_class=HTMLResponse,
            responses=_JSON_REFUSALS,
            summary="The page, and what it loads",
            include_in_schema=path == "/",
        )
    return router


def _info(service: Service) -> dict[str, Any]:
    models = service.models.all()
    first = models[0] if models else None
    labels = list(first.task.labels) if first else []
    kind = {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    dtype = _DTYPES[first.precision] if first is not None and first.precision else "float32"
    if first is not None and first.predictor.accelerator.mixed_precision != "no":
        dtype = str(first.predictor.accelerator.mixed_precision)
    limits = service.limits
    return {
        "model_id": first.folder.shown_base if first else None,
        "model_sha": first.folder.base[1] if first else None,
        "model_dtype": dtype,
        "model_type": {"classifier": kind},
        "max_concurrent_requests": limits.waiting,
        "max_input_length": first.predictor.max_length if first else None,
        "max_client_batch_size": limits.texts,
        "max_text_characters": limits.characters,
        "max_body_bytes": limits.body_bytes,
        "auto_truncate": False,
        "version": metadata.version("lowcost_ft"),
        "ready": service.models.ready,
        "models": [service.models.describe(model) for model in models],
    }
