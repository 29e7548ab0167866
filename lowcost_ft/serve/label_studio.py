"""Label Studio's ML backend: its tasks are answered with regions, choices and scores.

Label Studio (1.x) posts to `/predict`, `/setup` and `/webhook` below the address that a project
names, and reads `/health`.
"""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from fastapi import APIRouter, Request, Response

from lowcost_ft.serve.bodies import PredictBody, SetupBody, StudioBody, WebhookBody
from lowcost_ft.serve.errors import unprocessable
from lowcost_ft.serve.inputs import Input
from lowcost_ft.serve.models import ServedModel
from lowcost_ft.serve.responses import JsonResponse
from lowcost_ft.serve.routes import REFUSALS, same_name, tei_answer
from lowcost_ft.serve.service import Service

__all__ = ["Interface", "read_interface", "studio_routes"]

_LONGEST_CONFIG = 200_000
_LABELS = {"Labels": "Label", "Choices": "Choice"}
"""Controls that we answer -> what lists their labels."""

_TEXTS = {"Labels": ("Text",)}
"""Controls -> what they may belong to, since regions count its characters; others: `_ANY_TEXT`."""

_ANY_TEXT = ("Text", "HyperText")
"""Tags that show a text; the field of others, such as Image, names a file."""


class Interface:
    """What a project's labelling interface (`label_config`) names.

    Attributes:
        controls: Tag, such as `Labels` -> the name of the first such control of a text, and the
            name of that text.
        fields: Name of a text -> the field of a task's data that it shows.
        labels: Tag -> the labels that it lists; empty where a task brings them.
        elsewhere: Names of texts of which a task's data hold an address or a code.
    """

    def __init__(self) -> None:
        self.controls: dict[str, tuple[str, str]] = {}
        self.fields: dict[str, str] = {}
        self.labels: dict[str, list[str]] = {}
        self.elsewhere: list[str] = []


def read_interface(config: str) -> Interface:
    """Reads a project's `label_config`.

    Raises:
        RequestError: It is no XML, or declares entities of its own.
    """
    if not config.strip():
        raise unprocessable("label_config is missing: send the project's labelling interface")
    if len(config) > _LONGEST_CONFIG or "<!" in config.replace("<!--", ""):
        raise unprocessable("label_config: declarations are not read: leave out what begins <!")
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise unprocessable(f"label_config is no XML ({error})") from None
    found, shown = Interface(), dict[str, str]()
    for node in root.iter():
        name, value = node.get("name", ""), node.get("value", "")
        if name and node.tag in _ANY_TEXT and value.startswith("$"):
            if _is_elsewhere(node):
                found.elsewhere.append(name)
                continue
            shown[name], found.fields[name] = str(node.tag), value[1:]
    for node in root.iter():
        if node.tag in found.controls or not node.get("name") or _is_of_parts(node):
            continue  # The first one of a kind; a project with several needs a backend for each.
        fitting = _TEXTS.get(node.tag, _ANY_TEXT)
        targets = [one.strip() for one in node.get("toName", "").split(",")]
        if target := next((one for one in targets if shown.get(one) in fitting), None):
            found.controls[node.tag] = (node.get("name", ""), target)
            inner = _LABELS.get(node.tag, "")
            found.labels[node.tag] = [
                str(one.get("alias") or one.get("value") or "") for one in node.iter(inner)
            ]
    return found


def _is_elsewhere(text: ElementTree.Element) -> bool:
    """Whether a task's data hold the address of a text, or a code, and not the text itself."""
    return text.get("valueType", "text") != "text" or text.get("encoding", "none") != "none"


def _is_of_parts(control: ElementTree.Element) -> bool:
    """Whether a control is asked once for each region or item, and not once for the text."""
    return "true" in (control.get("perRegion"), control.get("perItem"))


def studio_routes(service: Service) -> APIRouter:
    """The routes of the backend, for the only model and below `/models/NAME`."""
    router = APIRouter(responses=REFUSALS)

    async def predict(
        request: Request, body: StudioBody | PredictBody, name: str | None
    ) -> Response:
        if isinstance(body, PredictBody):
            asked = body.model if name is None else same_name(name, body.model)
            return await tei_answer(service, request, body, asked)
        model = service.model(name)
        if not body.tasks:
            return JsonResponse({"results": []})
        interface = read_interface(body.label_config or "")
        _needs_control(model, interface)
        inputs = [_input(model, task, interface) for task in body.tasks]
        answers = await service.ask(request, model, inputs)
        version = _version(model)
        results = []
        for task, one in zip(body.tasks, answers, strict=True):
            found = model.task.studio_results(one.answer, interface.controls, _data(task))
            scores = [item["score"] for item in found if item.get("score") is not None]
            # A prediction is as sure as its least sure part; without any, nothing was found.
            results.append(
                {
                    "result": found,
                    "score": min(scores) if scores else 0.0,
                    "model_version": version,
                }
            )
        return JsonResponse({"results": results})

    async def setup(body: SetupBody, name: str | None) -> Response:
        model = service.model(name)
        if body.schema_:
            interface = read_interface(body.schema_)
            _needs_control(model, interface)
            _needs_labels(model, interface)
        return JsonResponse({"model_version": _version(model)})

    @router.post("/predict", summary="Label Studio's tasks, or TEI's texts", response_model=Any)
    async def predict_by_any(request: Request, body: StudioBody | PredictBody) -> Response:
        return await predict(request, body, None)

    @router.post("/models/{name}/predict", summary="The same of one model", response_model=Any)
    async def predict_by_one(
        name: str, request: Request, body: StudioBody | PredictBody
    ) -> Response:
        return await predict(request, body, name)

    @router.post("/setup", summary="Label Studio connects", response_model=dict[str, Any])
    async def setup_of_any(body: SetupBody) -> Response:
        return await setup(body, None)

    @router.post(
        "/models/{name}/setup", summary="The same of one model", response_model=dict[str, Any]
    )
    async def setup_of_one(name: str, body: SetupBody) -> Response:
        return await setup(body, name)

    @router.get("/models/{name}/health", summary="Whether a model is there", response_model=Any)
    async def health_of_one(name: str) -> Response:
        service.model(name)
        return JsonResponse({"status": "UP", "model_class": "lowcost_ft"})

    async def webhook(body: WebhookBody, name: str | None = None) -> Response:
        if name is not None:
            service.model(name)
        # Annotations are kept in Label Studio: export them to train on them.
        return JsonResponse({"result": {}, "status": "ok", "action": body.action}, status_code=201)

    @router.post("/webhook", summary="Something was annotated", status_code=201, response_model=Any)
    async def webhook_of_any(body: WebhookBody) -> Response:
        return await webhook(body)

    @router.post(
        "/models/{name}/webhook",
        summary="The same of one model",
        status_code=201,
        response_model=Any,
    )
    async def webhook_of_one(name: str, body: WebhookBody) -> Response:
        return await webhook(body, name)

    return router


def _version(model: ServedModel) -> str:
    """A name that changes with the model, as Label Studio groups predictions by it."""
    return f"{model.name}-{int(model.loaded_at)}"


def _needs_control(model: ServedModel, interface: Interface) -> None:
    tags = model.task.studio_tags
    if not tags:
        raise unprocessable(f"Label Studio's tasks have no answer of {model.name}'s kind")
    missing = [tag for tag in tags if tag not in interface.controls]
    if missing:
        text = " or ".join(f"<{tag}>" for tag in _TEXTS.get(missing[0], _ANY_TEXT))
        raise unprocessable(
            f"label_config: {model.name} needs <{missing[0]} name=... toName=...> for a {text} "
            f'with value="$...", which the interface lacks'
            + (
                f"; of {', '.join(interface.elsewhere)} a task holds the address or a code, and "
                f"not the text itself"
                if interface.elsewhere
                else ""
            )
        )


def _needs_labels(model: ServedModel, interface: Interface) -> None:
    """Refuses a project that could not show some of the model's answers."""
    listed = [label for tag in model.task.studio_tags for label in interface.labels.get(tag, ())]
    lacking = [name for name in model.task.studio_labels() if name not in listed]
    if listed and lacking:
        raise unprocessable(
            f"label_config lacks labels that {model.name} gives: {', '.join(lacking[:10])}"
        )


def _data(task: Mapping[str, Any]) -> Mapping[str, Any]:
    data = task.get("data") or {}
    if not isinstance(data, Mapping):
        raise unprocessable(f"task {task.get('id', '')}: data is not an object with fields")
    return data


def _input(model: ServedModel, task: Mapping[str, Any], interface: Interface) -> Input:
    """The texts of a task: of a pair the first is the one that the interface shows first."""
    data = _data(task)
    fields = model.task.input_fields(model.predictor.run)
    first = interface.controls[model.task.studio_tags[0]][1]
    # The text that the control belongs to, then the others.
    names = [first, *(name for name in interface.fields if name != first)][: len(fields)]
    columns = [field for name, field in interface.fields.items() if name in names]
    if len(columns) < len(fields):
        raise unprocessable(
            f"label_config shows {len(columns)} texts; {model.name} takes {len(fields)}"
        )
    texts: list[str] = []
    for column in columns:
        text = data.get(column)
        if not isinstance(text, str):
            raise unprocessable(f"task {task.get('id', '')}: data.{column} is not a text")
        texts.append(text)
    return texts[0] if len(texts) == 1 else texts
