"""The application: routes, how errors are told, and the guard in front."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lowcost_ft.serve.bodies import BLANK
from lowcost_ft.serve.errors import RequestError
from lowcost_ft.serve.guard import Guard
from lowcost_ft.serve.label_studio import studio_routes
from lowcost_ft.serve.limits import Access
from lowcost_ft.serve.operating import operating_routes
from lowcost_ft.serve.responses import JsonResponse, error_response
from lowcost_ft.serve.routes import answering_routes
from lowcost_ft.serve.service import Service

__all__ = ["build_app"]

_LOG = logging.getLogger("lowcost_ft.serve")


def build_app(service: Service, access: Access, *, log_texts: bool = False) -> Guard:
    """The application of a server, as ASGI has it.

    Args:
        service: Models, queue and limits.
        access: Who may ask.
        log_texts: Whether the log shows the bodies of requests.
    """
    app = FastAPI(
        title="lowcost_ft",
        description="Trained runs behind HTTP.",
        version="1",
        # Their pages load scripts from another host; `/` is this server's own page.
        docs_url=None,
        redoc_url=None,
        default_response_class=JsonResponse,
    )
    app.include_router(answering_routes(service))
    app.include_router(operating_routes(service))
    if service.studio:
        app.include_router(studio_routes(service))
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _failed)
    return Guard(
        app, limits=service.limits, access=access, metrics=service.metrics, log_texts=log_texts
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return error_response(error)


async def _not_valid(request: Request, error: Exception) -> Response:
    """What is wrong with a body, by its fields; without what the body holds."""
    assert isinstance(error, RequestValidationError)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    found = error.errors()
    if request.method == "POST" and kind != "application/json" and not kind.endswith("+json"):
        told = "send the body as JSON, with Content-Type: application/json"
        return error_response(RequestError(415, "Validation", told))
    if any(one["type"] == "json_invalid" for one in found):
        return error_response(RequestError(400, "Validation", "the body is not valid JSON"))
    blank = [one for one in found if one["type"] == BLANK]
    if any(_place(one["loc"]).startswith("input") for one in blank):
        return error_response(RequestError(400, "Empty", "an input is empty: give a text"))
    if isinstance(error.body, Mapping):  # What was sent is one of two forms.
        other = "StudioBody" if "inputs" in error.body else "PredictBody"
        found = [one for one in found if other not in one["loc"]] or found
    problems = dict.fromkeys(f"{_place(one['loc'])}: {one['msg']}" for one in found[:10])
    return error_response(RequestError(422, "Validation", "; ".join(problems)))


def _place(location: Any) -> str:
    parts = [str(part) for part in location if part not in ("body", "StudioBody", "PredictBody")]
    return ".".join(parts) or "body"


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = error_response(RequestError(error.status_code, "Validation", str(error.detail)))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    if error.status_code == 405:
        # Several routes may have one path, each with a method of its own.
        methods = request.app.openapi()["paths"].get(request.url.path, {})
        if len(methods) > 1:
            response.headers["Allow"] = ", ".join(sorted(name.upper() for name in methods))
    return response


async def _failed(request: Request, error: Exception) -> Response:
    _LOG.error("a request failed: %s", type(error).__name__)
    return error_response(RequestError(500, "Backend", f"failed ({type(error).__name__})"))
