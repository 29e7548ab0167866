"""Label Studio's ML backend: exact offsets, scores, and what an interface lacks."""

from types import SimpleNamespace

import pytest
from served import loaded, serving

from lowcost_ft import load_predictor
from lowcost_ft.serve.label_studio import _input, read_interface

ENTITIES = """
<View><Labels name="kind" toName="shown"><Label value="person"/><Label value="place"/></Labels>
<!-- a comment --><Text name="shown" value="$message"/></View>
"""
CLASSES = """
<View><Text name="t" value="$body"/><Choices name="intent" toName="t">
<Choice value="None"/><Choice value="delivery"/><Choice value="refund"/></Choices></View>
"""
PER_REGION = f"""
<View><Choices name="of_a_region" toName="t" perRegion="true"><Choice value="refund"/></Choices>
<Text name="t" value="$body"/>{CLASSES}</View>
"""
PAIRS = """
<View><Text name="first" value="$a"/><Text name="second" value="$b"/>
<Choices name="same" toName="second"><Choice value="yes"/></Choices></View>
"""
NUMBERS = """
<View><Text name="t" value="$body"/><Number name="stars" toName="t"/></View>
"""
RECORDING = """
<View><Labels name="sounds" toName="sound"><Label value="person"/></Labels>
<Audio name="sound" value="$recording"/></View>
"""
TEXTS = ["😀 chen wei lives in oslo", "hello"]


@pytest.fixture(scope="module")
def folders(trained_run):
    return {kind: trained_run(kind, "bert") for kind in ("ner", "single", "number", "relation")}


@pytest.fixture(scope="module")
def client(folders):
    models, loader = loaded(*(f"{name}={folder}" for name, folder in folders.items()))
    with serving(models, loader, studio=True) as client:
        yield client


def asked(config, field="message", texts=TEXTS):
    tasks = [{"id": n, "data": {field: text, "other": 1}} for n, text in enumerate(texts)]
    more = {"project": "1.2", "params": {"context": None}}
    return {"tasks": tasks, "label_config": config} | more


def test_entities_are_regions(client, folders):
    status, content = client.post("/models/ner/predict", asked(ENTITIES))
    assert status == 200
    for text, answer, expected in zip(
        TEXTS, content["results"], load_predictor(folders["ner"])(TEXTS), strict=True
    ):
        assert [
            (r["value"]["start"], r["value"]["end"], r["value"]["labels"]) for r in answer["result"]
        ] == [(e["start"], e["end"], [e["label"]]) for e in expected["entities"]]
        for region in answer["result"]:
            value = region["value"]
            assert value["text"] == text[value["start"] : value["end"]]
            assert (region["from_name"], region["to_name"], region["type"]) == (
                *("kind", "shown"),
                "labels",
            )
        scores = [region["score"] for region in answer["result"]]
        assert answer["score"] == (min(scores) if scores else 0.0)
        assert answer["model_version"].startswith("ner-")


def test_classes_are_choices(client):
    body = asked(CLASSES, "body", ["please refund my card"])
    _, content = client.post("/models/single/predict", body)
    (choice,) = content["results"][0]["result"]
    assert choice["value"] == {"choices": ["refund"]}
    assert (choice["from_name"], choice["to_name"], choice["type"]) == ("intent", "t", "choices")
    assert 0.3 < content["results"][0]["score"] == choice["score"] <= 1


def test_a_control_that_is_asked_for_each_region_is_not_filled_in(client):
    body = asked(PER_REGION, "body", ["please refund my card"])
    _, content = client.post("/models/single/predict", body)
    (choice,) = content["results"][0]["result"]
    assert choice["from_name"] == "intent"


@pytest.mark.parametrize("control", ["first", "second", "second, first"])
def test_a_pair_has_the_order_of_the_interface(control):
    task = SimpleNamespace(studio_tags=("Choices",), input_fields=lambda run: ("text", "text_pair"))
    model = SimpleNamespace(task=task, predictor=SimpleNamespace(run={}), name="pairs")
    interface = read_interface(PAIRS.replace('toName="second"', f'toName="{control}"'))
    texts = _input(model, {"data": {"a": "premise", "b": "hypothesis"}}, interface)
    assert texts == ["premise", "hypothesis"]


def test_a_number_is_a_number(client, folders):
    texts = ["please refund my card", ""]
    _, content = client.post("/models/number/predict", asked(NUMBERS, "body", texts))
    (number,), nothing = (one["result"] for one in content["results"])
    expected = load_predictor(folders["number"])(texts[:1])[0]["score"]
    assert number["value"] == {"number": pytest.approx(expected, abs=1e-5)}
    assert (number["from_name"], number["to_name"], number["type"]) == ("stars", "t", "number")
    assert nothing == []
    assert client.post("/models/number/setup", {"schema": NUMBERS})[0] == 200


def test_a_text_is_read_where_the_interface_shows_other_things_too(client):
    config = "<View>" + RECORDING + ENTITIES + "</View>"
    body = asked(config)
    body["tasks"] = [one | {"data": one["data"] | {"recording": "/a.wav"}} for one in body["tasks"]]
    assert client.post("/models/ner/setup", {"schema": config})[0] == 200
    found = client.post("/models/ner/predict", body)
    assert found == client.post("/models/ner/predict", asked(ENTITIES))


def test_its_other_routes(client):
    assert client.get("/health")[1] == {"status": "UP", "model_class": "lowcost_ft"}
    assert client.get("/models/ner/health")[0] == 200
    setup = {"project": "1.2", "schema": ENTITIES, "hostname": "http://x", "access_token": "x"}
    status, content = client.post("/models/ner/setup", setup)
    assert status == 200 and content["model_version"].startswith("ner-")
    for action in ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "START_TRAINING"):
        body = {"action": action, "annotation": {"id": 3}, "project": {"id": 1}}
        assert client.post("/webhook", body)[0] == 201
    assert client.post("/models/ner/predict", {"tasks": []}) == (200, {"results": []})
    # Text Embeddings Inference's form stays.
    status, content = client.post("/predict", {"inputs": "hello", "model": "single"})
    assert status == 200 and {"label", "score"} == set(content[0])


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/models/ner/predict", asked(CLASSES, "body"), "needs <Labels"),
        ("/models/number/setup", {"schema": CLASSES}, "needs <Number"),
        ("/models/ner/predict", asked(RECORDING, "recording"), "for a <Text>"),
        ("/models/ner/predict", asked(ENTITIES.replace("<Text", "<HyperText")), "for a <Text>"),
        (
            "/models/ner/setup",
            {"schema": ENTITIES.replace("<Text", '<Text valueType="url"')},
            "of shown a task holds the address",
        ),
        (
            "/models/ner/predict",
            asked(ENTITIES.replace("<Text", '<Text encoding="base64"')),
            "of shown a task holds the address",
        ),
        ("/models/single/setup", {"schema": PER_REGION.replace(CLASSES, "")}, "needs <Choices"),
        ("/models/ner/predict", asked(None), "label_config is missing"),
        ("/predict", {"nothing": 1}, "tasks: Field required"),
        ("/predict", {"inputs": 3}, "inputs: give a text, a pair"),
        ("/models/ner/predict", asked("<View"), "no XML"),
        ("/models/ner/predict", asked('<!DOCTYPE x [<!ENTITY a "b">]><View/>'), "declarations"),
        ("/models/ner/predict", asked(ENTITIES, "elsewhere"), "data.message is not a text"),
        (
            "/models/ner/predict",
            {"tasks": [{"id": 7, "data": "text"}], "label_config": ENTITIES},
            "task 7: data is not an object",
        ),
        ("/models/relation/predict", asked(ENTITIES), "no answer of relation's kind"),
        ("/models/ner/setup", {"schema": ENTITIES.replace("place", "x")}, "lacks labels"),
        ("/models/ner/setup", {"schema": CLASSES}, "needs <Labels"),
    ],
)
def test_what_does_not_fit_is_refused(client, path, body, said):
    status, content = client.post(path, body)
    assert (status, said in content["error"]) == (422, True), content
