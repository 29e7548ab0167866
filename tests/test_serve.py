"""`lowcost-ft serve`: the forms that it speaks, and that its answers are those of `predict`."""

import json
import logging
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from served import loaded, serving

from lowcost_ft import load_predictor
from lowcost_ft.commands.main import main
from lowcost_ft.commands.serve import Serve, _access
from lowcost_ft.models.pooled_states import keep_states
from lowcost_ft.scores.novelty import Novelty
from lowcost_ft.serve.computing import answer_part
from lowcost_ft.serve.errors import without_folders
from lowcost_ft.serve.group_run import answer_group
from lowcost_ft.serve.groups import group_models
from lowcost_ft.serve.inputs import read_inputs
from lowcost_ft.serve.limits import Access, Limits
from lowcost_ft.serve.loading import Loader
from lowcost_ft.serve.models import Models, ServedModel, model_folders
from lowcost_ft.serve.page_files import PAGE_FILES
from lowcost_ft.serve.part import Part
from lowcost_ft.tasks.question_answering import QuestionAnsweringTask

TEXTS = ["chen wei lives in oslo", "😀 send it to Anna in Berlin", "", "please refund my card"]


@pytest.fixture(scope="module")
def folders(trained_run):
    return {
        "ner": trained_run("ner", "bert"),
        "single": trained_run("single", "bert"),
        "relation": trained_run("relation", "bert"),
    }


@pytest.fixture(scope="module")
def models(folders, tmp_path_factory):
    return loaded(
        *(f"{name}={folder}" for name, folder in folders.items()),
        models_dir=str(tmp_path_factory.mktemp("models")),
    )


@pytest.fixture(scope="module")
def client(models):
    with serving(*models) as client:
        yield client


def nearly(answer):
    """An answer whose scores may differ by rounding."""
    if isinstance(answer, dict):
        return {name: nearly(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [nearly(value) for value in answer]
    return pytest.approx(answer, abs=2e-4) if isinstance(answer, float) else answer


@pytest.mark.parametrize("name", ["ner", "single"])
def test_answers_are_those_of_predict(client, folders, name):
    expected = load_predictor(folders[name])(TEXTS)
    status, content = client.post("/answers", {"inputs": TEXTS, "models": [name]})
    assert status == 200
    assert content == {"answers": {name: nearly(expected)}, "notes": {name: []}}


def test_several_models_answer_one_request_together(client, folders):
    _, info = client.get("/info")
    assert {model["grouped"] for model in info["models"]} == {True}
    names = ["ner", "single"]
    status, content = client.post("/answers", {"inputs": TEXTS, "models": names})
    assert status == 200
    expected = {name: nearly(load_predictor(folders[name])(TEXTS)) for name in names}
    assert content["answers"] == expected


def test_a_group_that_fails_answers_one_by_one(client, monkeypatch):
    body = {"inputs": TEXTS, "models": ["ner", "single"]}
    _, expected = client.post("/answers", body)
    monkeypatch.setattr("lowcost_ft.serve.computing.answer_group", lambda *_: 1 / 0)
    assert client.post("/answers", body) == (200, nearly(expected))


def test_hugging_faces_client_reads_the_answers(client, folders, monkeypatch):
    # It asks this machine alone.
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    hub = InferenceClient(token="none")
    text = "😀 chen wei lives in oslo"
    entities = hub.token_classification(
        text, model=f"{client.url}/models/ner", aggregation_strategy="simple"
    )
    (expected,) = load_predictor(folders["ner"])([text])
    found = [(one.entity_group, one.word, one.start, one.end) for one in entities]
    assert found == [(e["label"], e["text"], e["start"], e["end"]) for e in expected["entities"]]
    classes = hub.text_classification(
        "please refund my card", model=f"{client.url}/models/single", top_k=2
    )
    assert [len(classes), classes[0].label] == [2, "refund"]


def test_text_embeddings_inference(client, folders):
    texts = ["please refund my card", "where is my parcel"]
    status, one = client.post("/predict", {"inputs": texts[0], "model": "single"})
    assert status == 200 and set(one[0]) == {"score", "label"}
    assert one[0]["label"] == "refund" and sum(item["score"] for item in one) == pytest.approx(1)
    assert client.post("/predict", {"inputs": texts[:1], "model": "single"})[1] == nearly(one)
    body = {"inputs": [[text] for text in texts], "raw_scores": True}
    status, batch = client.post("/models/single/predict", body)
    assert status == 200 and [rows[0]["label"] for rows in batch] == ["refund", "delivery"]
    raw = np.array([item["score"] for item in batch[0]])
    shares = np.exp(raw) / np.exp(raw).sum()
    told = load_predictor(folders["single"]).task.told_scores(shares[None])[0]
    np.testing.assert_allclose(told, [item["score"] for item in one], atol=1e-3)
    status, refused = client.post("/predict", {"inputs": texts, "model": "single"})
    assert status == 422 and "2 texts; this model takes 1" in refused["error"]


def test_vllms_classification(client):
    body = {"model": "single", "input": ["please refund my card", "where is my parcel"]}
    status, content = client.post("/classify", body)
    assert status == 200 and content["object"] == "list" and content["model"] == "single"
    assert [item["label"] for item in content["data"]] == ["refund", "delivery"]
    assert all(item["num_classes"] == len(item["probs"]) == 3 for item in content["data"])
    assert content["usage"]["prompt_tokens"] == content["usage"]["total_tokens"] > 4


def test_relations_of_marked_texts_and_of_entities(client):
    marked = "<e1>anna</e1> lives in <e2>oslo</e2>"
    status, classes = client.post("/models/relation", {"inputs": marked})
    assert status == 200 and {"label", "score"} == set(classes[0][0])
    spans = {"head": {"start": 0, "end": 4}, "tail": {"start": 14, "end": 18}}
    status, content = client.post(
        "/answers", {"models": ["relation"], "inputs": [{"text": "anna lives in oslo"} | spans]}
    )
    assert status == 200
    assert content["answers"]["relation"][0]["label"] == classes[0][0]["label"]
    assert client.post("/models/relation/predict", {"inputs": "anna lives in oslo"})[0] == 422


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/", {"inputs": "x"}, 404, "several models"),
        ("/models/ner", b"{", 400, "not valid JSON"),
        ("/models/ner", b'{"inputs": "\xff\xfe"}', 400, "parsing the body"),
        ("/models/ner", b"[" * 100_000, 400, ""),
        ("/models/ner", {"inputs": []}, 400, "is empty"),
        ("/models/single/predict", {"inputs": " "}, 400, "input is empty"),
        ("/models/none", {"inputs": "x"}, 404, "known: ner, single"),
        ("/answers", {"inputs": ["x"], "models": ["ner", "none"]}, 404, "no such model"),
        ("/models/ner", {"inputs": "x" * 20_001}, 413, "20,001 characters"),
        ("/models/ner", {"inputs": ["x"] * 257}, 413, "257 inputs"),
        ("/models/ner", b'"' + b"x" * 2_000_001 + b'"', 413, "2,000,000 bytes"),
        ("/models/single/predict", {"inputs": "oslo " * 99}, 413, "48 tokens"),
        ("/models/ner", {"inputs": 3}, 422, "inputs: give a text, an object with fields"),
        ("/models/single/predict", {"inputs": ["a", "b", "c"]}, 422, "inputs: give a text, a pair"),
        ("/models/single/predict", {"inputs": []}, 422, "inputs: give a text, a pair"),
        ("/models/single/classify", {"input": [1, 2]}, 422, "input: give a text or a list"),
        ("/answers", {"inputs": [3], "models": ["ner"]}, 422, "inputs: give a list of texts"),
        ("/models/ner", {"inputs": "x", "nothing": 1}, 422, "nothing"),
        ("/models/ner", b'{"inputs": "\\ud800"}', 422, "surrogate"),
        ("/models/ner", {"inputs": {"text": "x", "more": "y"}}, 422, "does not take 'more'"),
        ("/models/ner", {"inputs": {"words": "x"}}, 422, "does not take 'words'"),
        ("/models/ner", {"inputs": "x", "parameters": {"top_k": 1}}, 422, "top_k is not known"),
        ("/models/ner", {"inputs": "x", "parameters": {"stride": 1}}, 422, "windows"),
        ("/models/single", {"inputs": "x", "parameters": {"top_k": 0}}, 422, "from 1 on"),
        ("/models/ner", {"inputs": "x", "model": "single"}, 409, "two models"),
        ("/models/ner/predict", {"inputs": "x"}, 424, "no scores of classes"),
    ],
)
def test_refusals_say_what_is_wrong(client, path, body, status, said):
    found, content = client.post(path, body)
    assert (found, said in content["error"]) == (status, True), content
    assert set(content) == {"error", "error_type"}
    assert "oslo oslo" not in content["error"] and "constrained" not in content["error"]


def test_parameters_of_questions_that_training_has_decided_are_told_from_unknown_ones():
    task = QuestionAnsweringTask()
    assert task.parameter_problems({"top_k": 1, "doc_stride": None}) == []
    (told,) = task.parameter_problems({"doc_stride": 64})
    assert "overlap as in training: leave it out" in told
    (told,) = task.parameter_problems({"top_k": 2})
    assert "one answer" in told
    (told,) = task.parameter_problems({"align": True})
    assert told.endswith("known: handle_impossible_answer, top_k")


def test_heads_of_pages_are_answered_as_probes_ask_for_them(client):
    for path in ("/", "/health", "/ready"):
        status, headers, content = client.send("HEAD", path)
        assert (status, content) == (200, b""), path
        assert int(headers["content-length"]) > 0


def test_other_refusals(client):
    assert client.post("/models/ner", {"inputs": "x"}, content_type="text/plain")[0] == 415
    assert client.send("DELETE", "/health")[0] == 405
    status, headers, _ = client.send("PUT", "/")
    assert (status, headers["allow"]) == (405, "GET, POST")
    assert client.get("/nothing")[0] == 404


def test_what_was_cut_is_told(client):
    body = {"inputs": ["oslo " * 99, "hello"], "parameters": {}}
    status, headers, _ = client.send("POST", "/models/single", body)
    assert (status, headers["x-truncated-inputs"]) == (200, "1")
    _, content = client.post("/answers", {"inputs": body["inputs"], "models": ["single"]})
    (note,) = content["notes"]["single"]
    assert note == "1 of 2 texts are longer than 48 tokens and lost their end"
    body = {"inputs": "oslo " * 99, "truncate": True}
    assert client.post("/models/single/predict", body)[0] == 200
    assert client.post("/models/single/predict", body | {"truncation_direction": "Left"})[0] == 422


def test_what_was_cut_is_told_of_a_text_that_is_shorter_than_others(client):
    pair = "<e1>anna</e1> lives in <e2>oslo</e2> "
    # What is left of the first one ends before a long word, and so is shorter than the last one.
    texts = [pair + "incomprehensibilities " * 30, pair, pair + "a " * 60]
    _, content = client.post("/answers", {"inputs": texts, "models": ["relation"]})
    (note,) = content["notes"]["relation"]
    assert note.startswith("2 of 3 texts")


def test_an_input_keeps_its_id(client):
    ends = {"head": {"start": 0, "end": 4}, "tail": {"start": 14, "end": 18}}
    rows = [{"id": name, "text": "anna lives in oslo", **ends} for name in ("b", "a")]
    _, content = client.post("/answers", {"inputs": rows, "models": ["relation"]})
    assert [answer["id"] for answer in content["answers"]["relation"]] == ["b", "a"]


def test_what_is_noticed_of_a_model_is_said(folders, monkeypatch):
    def noticing(folder, **options):
        predictor = load_predictor(folder, **options)
        predictor.notices.append("this CPU is another one")
        return predictor

    monkeypatch.setattr("lowcost_ft.pipeline.load_predictor.load_predictor", noticing)
    said = []
    loader = Loader(models=Models(), say=said.append)
    loader.load_all(model_folders([f"ner={folders['ner']}"]))
    assert said[-1] == "note: ner: this CPU is another one"


def test_health_info_metrics_and_openapi(client):
    assert client.get("/health") == (200, {"status": "UP", "model_class": "lowcost_ft"})
    assert client.get("/ready")[0] == 200
    _, info = client.get("/info")
    assert [model["name"] for model in info["models"]][:3] == ["ner", "single", "relation"]
    assert info["max_client_batch_size"] == Limits().texts
    # The base model is a folder of this machine: its name is told, and not where it lies.
    assert info["model_id"] == info["models"][0]["model_id"] == "bert"
    client.post("/models/ner", {"inputs": "oslo"})
    _, text = client.get("/metrics")
    assert b'lowcost_ft_requests_total{route="/models/{name}",status="200"}' in text
    assert b"oslo" not in text
    assert b"lowcost_ft_wave_inputs_count 0.0" not in text
    _, listed = client.get("/v1/models")
    assert {model["parent"] for model in listed["data"]} == {"bert"}
    assert {"ner", "single"} <= {model["id"] for model in listed["data"]}
    _, document = client.get("/openapi.json")
    assert {"/", "/predict", "/classify", "/answers", "/info"} <= set(document["paths"])
    # Refusals are JSON, whatever the route answers otherwise.
    for path in ("/", "/metrics", "/info"):
        for code in ("400", "401", "403"):
            told = document["paths"][path]["get"]["responses"][code]["content"]
            assert told == {
                "application/json": {"schema": {"$ref": "#/components/schemas/ErrorReply"}}
            }


def test_one_base_model_is_in_memory(models, folders):
    found, _ = models
    own = {name: storages(found.get(name).predictor.model) for name in folders}
    together = {}
    for storage in own.values():
        together |= storage
    alone = sum(own["ner"].values())
    assert sum(together.values()) < 1.8 * alone < sum(sum(one.values()) for one in own.values())


def storages(model):
    tensors = [*model.parameters(), *model.buffers()]
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


def test_models_come_and_go(client, models, folders):
    _, loader = models
    shutil.copytree(folders["single"], f"{loader.folder}/later")
    load, unload = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
    status, told = client.post(load, {"lora_name": "../later"})
    assert status == 422 and "give the name of a folder below --models-dir" in str(told)
    assert client.post(load, {"lora_name": "later", "lora_path": "/etc"})[0] == 403
    assert client.post(load, {"lora_name": "nothing"})[0] == 404
    status, described = client.post(load, {"lora_name": "later"})
    assert (status, described["task"], described["removable"]) == (200, "classification", True)
    assert client.post(load, {"lora_name": "later"})[0] == 409
    _, one = client.post("/models/single", {"inputs": "please refund my card"})
    assert client.post("/models/later", {"inputs": "please refund my card"}) == (200, nearly(one))
    assert client.post(unload, {"lora_name": "later"})[0] == 200
    assert client.post("/models/later", {"inputs": "x"})[0] == 404
    assert client.post(unload, {"lora_name": "single"})[0] == 409


def test_a_model_that_cannot_be_loaded_tells_no_folder(client, models, folders):
    _, loader = models
    broken = Path(loader.folder) / "broken"
    shutil.copytree(folders["single"], broken)
    record = json.loads((broken / "run.json").read_text())
    (broken / "run.json").write_text(json.dumps(record | {"model_id": "/secret/place/base"}))
    status, content = client.post("/v1/load_lora_adapter", {"lora_name": "broken"})
    assert status == 422 and "base" in content["error"]
    assert "/secret" not in content["error"] and loader.folder not in content["error"]
    shutil.rmtree(broken)


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ("/home/ada/runs/ner: lacks tokenizer.json", "ner: lacks tokenizer.json"),
        ("see ~/.cache/lowcost_ft/x and 'C/D'", "see x and 'C/D'"),
        ("<e1>a</e1><e2>b</e2> and/or https://a.org/b/c", None),
    ],
)
def test_folders_are_left_out_of_messages(told, left):
    assert without_folders(told) == (left or told)


def test_weights_are_shared_with_every_model_of_one_base(folders):
    class Predictor:
        def __init__(self, shared):
            self.shared = shared

        def share_weights(self, other):
            return self.shared

    (folder,) = model_folders([str(folders["ner"])])
    found = Models()
    # The first was trained in full, and holds nothing that others could use.
    for name, shared in (("full", 0), ("one", 7), ("other", 0)):
        model = ServedModel(folder=replace(folder, name=name), predictor=Predictor(shared))
        assert found.add(model) == (7 if name == "other" else 0)


def test_a_server_without_models_says_so():
    empty = Models()
    empty.ready = True
    with serving(empty) as client:
        for path in ("/", "/models/ner"):
            status, content = client.post(path, {"inputs": "x"})
            assert status == 404 and "loaded" in content["error"]
            assert "several" not in content["error"]


def test_exported_folders_are_told_from_others(folders, capsys):
    ner = str(folders["ner"])
    assert main(["serve", "--exported", ner]) == 2
    assert "is not an exported folder" in capsys.readouterr().err
    assert main(["serve", ner, "--precision", "int8"]) == 2
    assert "no folder is an exported one" in capsys.readouterr().err


def test_no_models_come_from_nowhere(models):
    with serving(models[0]) as client:
        assert client.send("POST", "/v1/load_lora_adapter", {"lora_name": "x"})[0] == 403


def test_hosts_sites_and_keys(models):
    key = "k" * 32
    access = Access(origins=frozenset({"https://friend.example"}), keys=(key,))
    with serving(*models, access=access) as client:
        body, bearer = {"inputs": "hello"}, {"authorization": f"Bearer {key}"}
        assert client.post("/models/ner", body)[0] == 401
        assert client.post("/models/ner", body, authorization="Bearer x")[0] == 401
        assert client.post("/models/ner", body, authorization="Basic !")[0] == 401
        assert client.post("/models/ner", body, **bearer)[0] == 200
        assert client.post("/models/ner", body, authorization="Basic eDp" + "ra2tr" * 8)[0] == 401
        assert client.get("/metrics")[0] == 401
        for path in ("/health", "/ready", *PAGE_FILES):
            assert client.get(path)[0] == 200
        # The page has the path of a route that asks models.
        assert client.post("/", body | {"model": "ner"})[0] == 401
        assert client.post("/", body | {"model": "ner"}, **bearer)[0] == 200
        assert (client.send("HEAD", "/")[0], client.send("PUT", "/health")[0]) == (200, 401)
        assert client.post("/models/ner", body, host="evil.example", **bearer)[0] == 400
        assert client.post("/models/ner", body, origin="https://evil.example", **bearer)[0] == 403
        friend = {"origin": "https://friend.example"}
        status, headers, _ = client.send("POST", "/models/ner", body, **friend, **bearer)
        assert headers["access-control-allow-origin"] == "https://friend.example"
        status, headers, _ = client.send("OPTIONS", "/models/ner", **friend)
        assert (status, "authorization" in headers["access-control-allow-headers"]) == (204, True)
        status, headers, _ = client.send("GET", "/", origin=client.url)
        assert status == 200 and "access-control-allow-origin" not in headers
        assert "default-src 'none'" in headers["content-security-policy"]


def test_the_log_has_no_texts_unless_asked(models, caplog):
    log = logging.getLogger("lowcost_ft.serve")
    log.propagate = True
    for asked in (False, True):
        caplog.clear()
        with caplog.at_level(logging.INFO, log.name), serving(*models, log_texts=asked) as client:
            assert client.get("/ready")[0] == 200
            client.post("/models/ner?text=secretive", {"inputs": "secretive words"})
            client.post("/models/ner", {"secretive": "secretive words"})
        assert "POST /models/ner 200" in caplog.text
        assert "/ready" not in caplog.text  # Asked every few seconds by who watches the server.
        assert ("secretive" in caplog.text) == asked


def test_clients_that_misbehave_do_not_disturb_others(models):
    limits = Limits(body_seconds=1.0)
    with serving(*models, limits=limits) as client, ThreadPoolExecutor(8) as pool:
        head = b"POST /models/ner HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"

        def killed(_):
            with socket.create_connection(("127.0.0.1", client.port)) as one:
                one.sendall(head + b"content-length: 17\r\n\r\n" + b'{"inputs": "oslo"}'[:17])

        slow = socket.create_connection(("127.0.0.1", client.port))
        slow.sendall(head + b"content-length: 100\r\n\r\n{")
        huge = socket.create_connection(("127.0.0.1", client.port))
        huge.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
        list(pool.map(killed, range(8)))
        asked = [pool.submit(client.post, "/models/ner", {"inputs": "oslo"}) for _ in range(16)]
        assert {future.result()[0] for future in asked} == {200}
        try:
            for _ in range(400):
                huge.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        except OSError:
            pass  # The server has hung up.
        slow.settimeout(10)
        assert b" 408 " in slow.recv(100)
        told = b"content-length: 1000000000\r\n\r\n"
        with socket.create_connection(("127.0.0.1", client.port)) as one:
            one.sendall(head + told)
            assert b" 413 " in one.recv(100)
        for one in (slow, huge):
            one.close()
        assert client.post("/models/ner", {"inputs": "oslo"})[0] == 200
        deadline = time.monotonic() + 5
        while client.service.engine.waiting and time.monotonic() < deadline:
            time.sleep(0.02)
        assert client.service.engine.waiting == 0


def test_names_of_models(tmp_path, folders, capsys):
    names = [one.name for one in model_folders([str(folders["ner"]), f"b={folders['ner']}"])]
    assert names == [folders["ner"].name, "b"]
    assert main(["serve"]) == 2
    assert main(["serve", str(folders["ner"]), str(folders["ner"])]) == 2
    assert main(["serve", f"a b={folders['ner']}", str(tmp_path)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    for part in ("give run folders", "have one name", "does not fit into an address", "run.json"):
        assert part in said


def test_flags_are_checked(tmp_path, folders, capsys):
    keys = tmp_path / "keys"
    keys.write_text("short\n")
    wrong = ["--port", "70000", "--max-texts", "0", "--models-dir", str(tmp_path / "no")]
    wrong += ["--cors-origins", "example.org", "--max-body-size", "2 apples"]
    assert main(["serve", str(folders["ner"]), *wrong, "--api-key-file", str(keys)]) == 2
    said = capsys.readouterr().err
    for part in ("70000", "--max-texts", "no such folder", "what a browser", "apples", "16 char"):
        assert part in said
    wrong = ["--allowed-hosts", "example.org:80,https://example.org"]
    assert main(["serve", str(folders["ner"]), *wrong]) == 2
    assert capsys.readouterr().err.count("give the name alone") == 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", str(folders["ner"]), "--port", str(port)]) == 2
    assert "cannot be used" in capsys.readouterr().err


def test_names_and_sites_are_compared_as_browsers_send_them():
    given = Serve(
        cors_origins="https://Example.org/, *", allowed_hosts="Example.org,::1", host="0.0.0.0"
    )
    access = _access(given, ())
    assert access.origins == {"https://example.org", "*"}
    # Probes of the machine itself, such as the container's, are answered in any case.
    assert access.hosts == {"example.org", "[::1]", "localhost", "127.0.0.1"}
    assert "0.0.0.0" in _access(Serve(host="0.0.0.0"), ()).hosts


def test_a_request_of_several_models_waits_as_one(models):
    with serving(*models, limits=Limits(waiting=1)) as client:
        body = {"inputs": ["hello"], "models": ["ner", "single"]}
        assert client.post("/answers", body)[0] == 200


def test_inputs_that_are_nested_without_end_are_refused(client):
    nested = "x"
    for _ in range(60):
        nested = [nested]
    status, content = client.post("/answers", {"inputs": [{"text": nested}], "models": ["ner"]})
    assert status == 422, content


@pytest.mark.slow
def test_an_exported_folder_is_served_beside_its_run(folders, tmp_path):
    pytest.importorskip("onnxruntime")
    exported = tmp_path / "onnx"
    arguments = ["export", str(folders["single"]), "--output-dir", str(exported)]
    assert main([*arguments, "--precision", "fp32"]) == 0
    models, loader = loaded(f"run={folders['single']}", f"onnx={exported}")
    with serving(models, loader) as client:
        _, content = client.post("/answers", {"inputs": TEXTS, "models": ["run", "onnx"]})
        assert content["answers"]["onnx"] == nearly(content["answers"]["run"])
        told = [(one["exported"], one["precision"]) for one in client.get("/info")[1]["models"]]
        assert told == [(False, None), (True, "fp32")]


@pytest.mark.slow
def test_the_command_starts_answers_and_stops_in_order(folders):
    command = [sys.executable, "-m", "lowcost_ft", "serve", f"ner={folders['ner']}", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        said = process.stderr.readline()
        url = said.split()[2].rstrip("/")
        assert urllib.request.urlopen(f"{url}/").status == 200
        while "ready: ner" not in said:
            said = process.stderr.readline()
            assert said
        request = urllib.request.Request(
            f"{url}/", json.dumps({"inputs": "oslo"}).encode(), {"content-type": "application/json"}
        )
        assert urllib.request.urlopen(request).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr.read().endswith("stopped\n")
    finally:
        process.kill()


@pytest.fixture
def flagging(folders):
    """A tagger and a classifier in one group that flag texts, and how they group."""
    models, _ = loaded(f"ner={folders['ner']}", f"single={folders['single']}")
    found = []
    for model in models.all():
        width = model.predictor.model.config.hidden_size
        novelty = Novelty(
            references=np.ones((1, width), np.float16),
            mean=np.zeros(width, np.float32),
            scale=1.0,
            threshold=0.0,
        )
        keep_states(model.predictor.model)
        found.append(replace(model, predictor=replace(model.predictor, novelty=novelty)))
    grouping = group_models(found)
    assert len(grouping.places) == 2, grouping.reasons
    return found, grouping


@pytest.mark.parametrize("tokens", [8, 4096])
def test_groups_tell_texts_unlike_the_training_data_as_each_model_alone(flagging, tokens):
    models, grouping = flagging
    for model in models:
        model.predictor.run["config"]["micro_batch_tokens"] = tokens
    shared = ["chen wei lives in oslo", "please refund my card"]
    wave = [
        (model, read_inputs(model, texts))
        for model, texts in zip(
            models, ([*shared, "Anna"], [*shared, "in Berlin", "no"]), strict=True
        )
    ]
    parts = {}
    for kind in ("together", "alone"):
        parts[kind] = [Part(model, examples) for model, examples in wave]
    places = [grouping.places[id(model)] for model in models]
    members = [(place[1], part) for place, part in zip(places, parts["together"], strict=True)]
    answer_group(places[0][0], members)
    for part in parts["alone"]:
        answer_part(part)
    for together, alone in zip(parts["together"], parts["alone"], strict=True):
        expected = alone.pooled.states()
        assert len(expected) == len(alone.examples)
        np.testing.assert_allclose(together.pooled.states(), expected, atol=1e-4)
        told = [one.answer.get("unlike_training") for one in together.answers()]
        assert told == [True] * len(told)
