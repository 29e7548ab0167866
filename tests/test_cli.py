"""`lowcost-ft predict` and `evaluate`: answers on standard output, the rest on standard error."""

import io
import json
import shutil
import subprocess
import sys

import pytest
from small_runs import ner_rows, text_rows, write_jsonl

from lowcost_ft.commands.main import main


@pytest.fixture(scope="module")
def ner(trained_run):
    return str(trained_run("ner", "bert"))


@pytest.fixture(scope="module")
def single(trained_run):
    return str(trained_run("single", "bert"))


@pytest.fixture
def run(capfd):
    """Runs a command; returns what it printed on standard output."""

    def command(*arguments):
        capfd.readouterr()  # What the fixtures printed.
        assert main(arguments) == 0
        return capfd.readouterr().out

    return command


@pytest.fixture
def refuse(capfd):
    """Runs a command that is wrong; returns what it printed on standard error."""

    def command(*arguments):
        capfd.readouterr()
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
        printed = capfd.readouterr()
        assert code == 2
        assert printed.out == ""
        assert "Traceback" not in printed.err
        return printed.err

    return command


def stdin(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def test_spans_of_a_text(run, ner):
    text = "chen wei lives in oslo"
    printed = run("predict", ner, "--text", text).splitlines()
    assert printed[0] == text
    assert [line.split()[:2] for line in printed[1:]] == [["0-8", "person"], ["18-22", "place"]]
    assert printed[1].endswith("chen wei")


def test_a_text_without_entities(run, ner):
    assert run("predict", ner, "--text", "where is my order ?").splitlines()[1] == "  (no entity)"


def test_offsets_in_json_give_back_the_text(run, ner):
    text = "  Chen Wei\tlives in «OSLO» 😀 oslo"
    (line,) = run("predict", ner, "--text", text, "--json").splitlines()
    answer = json.loads(line)
    assert answer["text"] == text
    assert answer["entities"]
    for entity in answer["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"]


def test_labels_with_probabilities(run, single):
    printed = run("predict", single, "--text", "please refund my card")
    label, score, text = printed.strip().split(maxsplit=2)
    assert (label, text) == ("refund", "please refund my card")
    assert 1 / 3 < float(score) <= 1
    answer = json.loads(run("predict", single, "--text", "hello", "--json"))
    assert set(answer) == {"text", "label", "score"}


@pytest.mark.parametrize(("kind", "family"), [("multi", "bert"), ("number", "llama")])
def test_other_problem_types(run, trained_run, kind, family):
    folder = str(trained_run(kind, family))
    text = "please refund my card please"
    assert run("predict", folder, "--text", text).rstrip().endswith(f"  {text}")
    answer = json.loads(run("predict", folder, "--text", text, "--json"))
    assert isinstance(answer["score"], list if kind == "multi" else float)
    assert ("label" in answer) == (kind == "multi")


def test_a_file(run, tmp_path, single, ner):
    rows = text_rows(5)
    path = write_jsonl(tmp_path / "rows.jsonl", [{"text": row["text"]} for row in rows])
    answers = [
        json.loads(line) for line in run("predict", single, "--file", path, "--json").splitlines()
    ]
    assert [answer["text"] for answer in answers] == [row["text"] for row in rows]
    path = tmp_path / "rows.csv"
    path.write_text('body\nhello\n"two, parts"\n')
    printed = run("predict", single, "--file", str(path), "--text-column", "body").splitlines()
    assert len(printed) == 2
    words = write_jsonl(tmp_path / "words.jsonl", ner_rows(4))
    answers = run("predict", ner, "--file", words, "--json").splitlines()
    assert [json.loads(line)["text"] for line in answers] == [
        " ".join(row["tokens"]) for row in ner_rows(4)
    ]


def test_a_file_of_texts_and_one_of_columns(run, tmp_path, single, ner, capfd):
    path = tmp_path / "rows.txt"
    path.write_text("where is my parcel\nplease refund my card, it is late\nhello\n")
    for folder in (single, ner):
        printed = run("predict", folder, "--file", str(path), "--json").splitlines()
        assert [json.loads(line)["text"] for line in printed] == path.read_text().splitlines()
    path.write_text("1\tanna\tO\n2\tran\tO\n\n1\tto\tO\n2\toslo\tB-place\n")
    assert main(["predict", ner, "--file", str(path), "--json"]) == 0
    printed = capfd.readouterr()
    assert [json.loads(line)["text"] for line in printed.out.splitlines()] == [
        "anna ran",
        "to oslo",
    ]
    assert "the words are column 2" in printed.err
    path.write_text("1\tanna\tO\n2\tran\tO\n")
    printed = run("predict", ner, "--file", str(path), "--format", "text", "--json").splitlines()
    assert json.loads(printed[0])["text"] == "1\tanna\tO"


def test_rows_keep_their_ids(run, tmp_path, single, ner):
    rows = [{"id": "m-1", "text": "hello"}, {"id": 7, "text": "anna wants a refund"}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    for folder in (single, ner):
        printed = run("predict", folder, "--file", path, "--json").splitlines()
        assert [json.loads(line)["id"] for line in printed] == ["m-1", 7]


def test_standard_input(run, monkeypatch, single):
    stdin(monkeypatch, "hello\r\nwhere is my parcel\n质量 ok\n\n".encode())
    printed = run("predict", single, "--json").splitlines()
    texts = [json.loads(line)["text"] for line in printed]
    assert texts == ["hello", "where is my parcel", "质量 ok", ""]


@pytest.mark.parametrize("kind", ["ner", "single"])
def test_a_blank_line_has_an_empty_answer_in_its_place(run, monkeypatch, trained_run, kind):
    folder = str(trained_run(kind, "bert"))
    content = b"\nhello\n \t\r\n\nplease refund my card\n\n"
    stdin(monkeypatch, content)
    answers = [json.loads(line) for line in run("predict", folder, "--json").splitlines()]
    assert [bool(answer["text"].strip()) for answer in answers] == [0, 1, 0, 0, 1, 0]
    empty = {"text": "", "entities": []} if kind == "ner" else {"label": None, "score": None}
    assert answers[0] == {"text": ""} | empty
    stdin(monkeypatch, content)
    printed = run("predict", folder).split("\n")[:-1]
    if kind == "single":
        assert [bool(line) for line in printed] == [0, 1, 0, 0, 1, 0]
    else:
        assert printed[0] == ""
        assert printed[1].startswith("hello")


def test_input_is_checked_before_the_model_is_loaded(tmp_path, single):
    """A broken file is told by a process that has not loaded PyTorch yet."""
    broken = write_jsonl(tmp_path / "broken.jsonl", [{"text": "hello"}, {"text": 5}])
    unlabelled = write_jsonl(tmp_path / "new.jsonl", [{"text": "hello", "label": "praise"}])
    code = """
import sys
from lowcost_ft.commands.main import main
code = main(sys.argv[1:])
print(code, "torch" in sys.modules, "transformers" in sys.modules)
"""
    for arguments, data, message in (
        (["predict", single, "--file", broken], b"", "broken.jsonl:2"),
        (["predict", single, "--text", " "], b"", "--text is empty"),
        (["predict", single, "--text", "a", "--text-pair", "b"], b"", "trained on single texts"),
        (["predict", single], b"caf\xe9", "standard input:1: not UTF-8"),
        (["predict", single], b"\n\n", "standard input contains no text"),
        (["evaluate", single, "--test-file", unlabelled], b"", "praise"),
        (["evaluate", single, "--test-file", "missing.csv"], b"", "missing.csv"),
        (["predict", str(tmp_path), "--text", "a"], b"", "has no run.json"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], input=data, capture_output=True, timeout=60
        )
        assert message in done.stderr.decode()
        assert done.stdout.split() == [b"2", b"False", b"False"], arguments


@pytest.mark.parametrize("kind", ["ner", "single"])
def test_evaluate(run, trained_run, small_files, kind):
    folder = trained_run(kind, "bert")
    path = small_files[kind]["test_file"]
    scores = json.loads(run("evaluate", str(folder), "--test-file", path, "--json"))
    recorded = json.loads((folder / "run.json").read_text())["evaluation"]["test"]
    metric = "f1" if kind == "ner" else "accuracy"
    assert scores[metric] == recorded[metric]
    assert scores[f"{metric}_ci95"] == recorded[f"{metric}_ci95"]
    printed = run("evaluate", str(folder), "--test-file", path)
    assert f"test {metric:<12}{scores[metric]:.4f}   95% interval" in printed
    assert "support" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "a", "--file", "b"], "--text and --file cannot be used together"),
        (["--text-pair", "b"], "--text-pair needs --text"),
        (["--text", " "], "--text is empty"),
        (["--text", "a\udcff"], "half a surrogate pair"),  # Bytes that are not UTF-8.
        (["--text", "a", "--text-pair", "b"], "trained on single texts"),
        (["--file", "missing.jsonl"], "missing.jsonl"),
        (["--txt", "a"], "--txt"),
        (["--file", "messages.txt"], "messages.txt: no such file"),
        (["--text", "a", "--format", "csv"], "--format: for files; give one with --file"),
        (
            ["--text", "a", "--no-csv-quotes", "--text-column", "b"],
            "--text-column, --no-csv-quotes",
        ),
        (["--text", "a", "--num-threads", "0"], "--num-threads 0 is too small"),
    ],
)
def test_wrong_arguments(refuse, single, arguments, message):
    assert message in refuse("predict", single, *arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "standard input contains no text"),
        (b"\n \n", "standard input contains no text"),
        (b"hello\ncaf\xe9\n", "standard input:2: not UTF-8 (byte 0xe9 at offset 9); likely"),
    ],
)
def test_wrong_standard_input(refuse, monkeypatch, single, content, message):
    stdin(monkeypatch, content)
    assert message in refuse("predict", single)


def test_folders_that_are_no_finished_run(refuse, tmp_path, single):
    text = ["--text", "a"]
    assert "missing does not exist" in refuse("predict", str(tmp_path / "missing"), *text)
    assert "has no run.json" in refuse("predict", str(tmp_path), *text)
    assert "has no run.json" in refuse("evaluate", str(tmp_path), "--test-file", "x.jsonl")
    broken = tmp_path / "broken"
    shutil.copytree(single, broken)
    record = json.loads((broken / "run.json").read_text())
    (broken / "run.json").write_text(json.dumps(record | {"status": "out_of_memory"}))
    assert "its status is out_of_memory" in refuse("predict", str(broken), *text)
    (broken / "run.json").write_text(json.dumps(record))
    (broken / "adapter_model.safetensors").unlink()
    assert f"{broken}: lacks adapter_model.safetensors" in refuse("predict", str(broken), *text)


def test_a_test_file_with_mistakes(refuse, tmp_path, single):
    path = write_jsonl(tmp_path / "test.jsonl", [{"text": "hello", "label": "praise"}])
    printed = refuse("evaluate", single, "--test-file", path)
    assert f"{path}:1" in printed
    assert "praise" in printed
    assert "--test-file" in refuse("evaluate", single)


def test_help_is_quick_and_names_the_commands():
    code = """
import sys
from lowcost_ft.commands.main import main
try:
    main(["--help"])
finally:
    print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "predict" in done.stdout
    assert "evaluate" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


def test_an_unknown_command_is_named_with_the_one_that_is_near(refuse):
    assert "predcit: there is no such command; did you mean predict?" in refuse("predcit", "runs/x")
    assert "nonsense: there is no such command. The commands are plan," in refuse("nonsense")


@pytest.mark.parametrize(
    "command", ["plan", "doctor", "convert", "predict", "evaluate", "merge", "report"]
)
def test_a_wrong_flag_points_to_the_help_of_its_command(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "runs/x", "--bogus"])
    assert stop.value.code == 2
    assert f"lowcost-ft {command} --help" in " ".join(capsys.readouterr().err.split())


def test_the_module_is_the_command(single):
    done = subprocess.run(
        [sys.executable, "-m", "lowcost_ft", "predict", single, "--text", "hello", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    # Nothing but the answer on either stream.
    assert json.loads(done.stdout)["text"] == "hello"
    assert done.stderr == ""


def test_a_flag_that_is_given_twice_is_refused(capsys):
    assert main(["predict", "runs/x", "--text", "one", "--min-score", "0.5", "--text=two"]) == 2
    assert "--text is given 2 times" in capsys.readouterr().err
