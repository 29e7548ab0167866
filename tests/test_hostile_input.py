"""Anything at all as input: it is read whole, or there is one clear error; never a traceback.

`make test` runs each property on some dozens of inputs, the same each time; `make test-slow` runs
them on thousands of new ones (`test_deeper`).
"""

import csv
import io
import json
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lowcost_ft import load_predictor
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.exports.reading import tool_of
from lowcost_ft.data.readers import read_rows
from lowcost_ft.data.rows import Row, text_fault
from lowcost_ft.errors import UserError
from lowcost_ft.models.tokenizers import load_tokenizer
from lowcost_ft.pipeline.predictor import Predictor
from lowcost_ft.tasks.classification import ClassificationTask
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.inputs import read_examples_file, read_text_lines
from lowcost_ft.tasks.loading import load_splits
from lowcost_ft.tasks.ner import NerTask
from lowcost_ft.tasks.ner.examples import NerExample, text_example

SINGLE = "single_label_classification"
AWKWARD = (
    " \t\n\r\0\x1a\x85\u00a0\u200b\u200d\u200f\u202e\u2028\u0301\ud800\udfff\ufeff\ufffe\ufe0f"
    "\U000e0041\U0010ffff\U0001f469\U0001f3fd漢ひكत한▁Ġ_a1.,;'\"|#"
)
characters = st.characters(codec=None, exclude_categories=()) | st.sampled_from(AWKWARD)
any_text = st.text(characters, max_size=30)
texts = any_text.filter(lambda text: text_fault(text) is None)

# --- Broken files ---------------------------------------------------------------------------------


def _parquet() -> bytes:
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["x", "y"]),
            "tokens": datasets.List(datasets.Value("string")),
            "tags": datasets.List(datasets.ClassLabel(names=["O", "B-x"])),
        }
    )
    columns = {"text": ["a", "b"], "label": [0, 1], "tokens": [["a"], []], "tags": [[1], []]}
    file = io.BytesIO()
    datasets.Dataset.from_dict(columns, features=features).to_parquet(file)
    return file.getvalue()


WHOLE = {
    ".csv": b'text,label,id\n"a ""b"" c",x,1\nhello,y,2\n"two\nlines",x,3\n',
    ".tsv": b"text\tlabel\nhello\tx\nyou\ty\n",
    ".jsonl": b'{"text": "\\ud83d\\ude00", "label": "x"}\n'
    b'{"text": "b", "label": ["y"], "entities": [{"start": 0, "end": 1, "label": "x"}]}\n'
    b'{"tokens": ["a", "b"], "tags": ["O", "B-x"]}\n',
    ".json": b'[{"text": "a", "label": "x"},\n{"text": "b", "label": 1.5}]\n',
    ".conll": b"Anna\tB-x\nran\tO\n\nto\tO\nRome\tB-x\n",
    ".parquet": _parquet(),
    "": b"__label__a b\n__label__c d\n",
    ".txt": b"1\tAnna\tB-x\tO\n# note\n2\tran\tO\tO\n\n1\tto\tO\tO\n",
    ".train": b"word,tag,sentence_id\na,O,1\nb,B-x,1\nc,O,2\n",
    ".dev": b'{"text": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}',
}
pieces = st.binary(max_size=4) | st.sampled_from(
    [
        *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\x1a"),
        *(b"\n", b"\r", b"\r\n", b"\t", b",", b";", b'"', b"'", b"{", b"}", b"[", b"]", b":"),
        *(b"NaN", b"-Infinity", b"1e999", b"null", b"\\ud800", b'"text": 1,', b"9" * 5000),
        *(
            b"B-",
            b"O",
            b"-DOCSTART-",
            b"#",
            b"# id 1\n",
            b"1\t",
            b"_",
            b"__label__x ",
            b"word\ttag\n",
        ),
        *(b"PK\x03\x04", b"names", b"ClassLabel"),
    ]
)


def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with some places written over, cut out or added."""
    data = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 6))] = draw(pieces)
    return bytes(data)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Extension and content: damaged, of another kind, or mere bytes."""
    extension = draw(st.sampled_from(list(WHOLE)))
    kind = draw(st.sampled_from([extension] * 4 + list(WHOLE)))
    return extension, draw(st.binary(max_size=200) | st.just(damaged(draw, WHOLE[kind])))


def read_or_refuse(call: Callable[..., Any], *args: Any, **flags: Any) -> Any:
    """What the call returns, or None after a `UserError` that a terminal can show."""
    try:
        return call(*args, **flags)
    except UserError as error:
        assert 0 < len(str(error)) < 20_000
        str(error).encode()
        assert all(error.problems)
        return None


def into_file(folder: Path, extension: str, content: bytes) -> str:
    path = folder / f"a{extension}"
    path.write_bytes(content)
    return str(path)


@given(file=files())
@example(file=(".csv", b"text,label\n" + b"".join(b"%d,%s\n" % (i, b"1" * 5000) for i in range(9))))
@example(file=(".csv", b"text,label\na,1.5\nb,1e300\nc,1.5\nd,2.5\n"))
@example(file=(".csv", ",".join(f"column {i}" for i in range(9000)).encode() + b"\nx"))
@example(file=(".jsonl", b'{"text": "a", "label": "\\ud800"}\n{"text": "b", "label": "c"}'))
def any_file(folder: Path, file: tuple[str, bytes]) -> None:
    path = into_file(folder, *file)
    problems: list[str] = []
    assert read_rows(path, problems, []) or problems
    for kind in get_args(get_type_hints(ReadingOptions)["format"]):
        for number in (None, "2"):
            reading = ReadingOptions(format=kind, tokens_column=number, csv_quotes=number is None)
            problems = []
            assert read_rows(path, problems, [], reading, labelled=number is None, words=True) or (
                problems
            )
    for task, labels, kind in (("ner", ["O", "B-x", "I-x"], None), (SINGLE, ["x", "y"], SINGLE)):
        task = "ner" if task == "ner" else "classification"
        read_or_refuse(load_splits, task, train_file=path, validation_share=0.5)
        splits = read_or_refuse(load_splits, task, train_file=path, validation_file=path)
        rows = read_or_refuse(read_examples_file, task, path, labelled=False)
        if splits is not None and rows is not None:
            assert len(splits.train) == len(rows)
        flags: dict[str, Any] = {"labels": labels, "reading": ReadingOptions(problem_type=kind)}
        read_or_refuse(read_examples_file, task, path, labelled=True, **flags)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `datasets.save_to_disk` with a training split."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "a.parquet").write_bytes(WHOLE[".parquet"])
    table = datasets.Dataset(pyarrow.parquet.read_table(folder / "a.parquet"))
    datasets.DatasetDict({"train": table}).save_to_disk(folder / "data")
    return folder / "data"


@given(data=st.data())
def any_saved_dataset(saved: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sorted(path for path in saved.rglob("*") if path.is_file())))
    whole = file.read_bytes()
    broken = damaged(data.draw, whole)
    file.unlink()  # The old content may still be mapped into memory.
    file.write_bytes(broken)
    try:
        read_or_refuse(load_splits, "classification", dataset=str(saved), validation_share=0.5)
    finally:
        file.unlink()
        file.write_bytes(whole)


@given(content=st.binary(max_size=80) | st.lists(pieces, max_size=9).map(b"".join))
def any_standard_input(content: bytes) -> None:
    for task in ("ner", "classification"):
        examples = read_or_refuse(read_text_lines, task, "standard input", content)
        if examples is not None:
            lines = re.split("\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf").decode())
            read = [example.text for example in examples]
            assert read == lines[: len(read)]
            assert not "".join(lines[len(read) :]).strip()


# --- Whole files, as other programs write them ----------------------------------------------------

cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
breaks = st.sampled_from(["\n", "\r\n", "\r"])


@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=5),
    ends=st.lists(breaks, min_size=6, max_size=6),
    delimiter=st.sampled_from(",;\t"),
    mark=st.sampled_from(["", "\ufeff"]),
)
def csv_is_read_whole(
    folder: Path, rows: list[tuple[str, str, str]], ends: list[str], delimiter: str, mark: str
) -> None:
    content = mark
    for row, end in zip([("text", "label", "note"), *rows], ends, strict=False):
        line = io.StringIO()
        csv.writer(line, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator=end).writerow(
            row
        )
        content += line.getvalue()
    problems: list[str] = []
    read = read_rows(into_file(folder, ".csv", content.encode()), problems, [])
    assert problems == []
    assert [tuple(row.values.values()) for row in read] == rows


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
json_rows = st.lists(st.dictionaries(any_text, json_values, max_size=4), min_size=1, max_size=4)


@given(rows=json_rows, end=breaks, as_list=st.booleans())
def json_is_read_whole_or_named(
    folder: Path, rows: list[dict[str, Any]], end: str, as_list: bool
) -> None:
    # Names of a labelling tool's own columns are drawn too: Hypothesis takes words from the code.
    assume(tool_of([Row(row, "") for row in rows]) is None)
    lines = [json.dumps(row) for row in rows]
    content = f"[{f',{end}'.join(lines)}]" if as_list else end.join(lines)
    path = into_file(folder, ".json" if as_list else ".jsonl", content.encode())
    problems: list[str] = []
    read = read_rows(path, problems, [])
    bad = [number for number, line in enumerate(lines, 1) if _no_number(line)]
    if as_list and bad:
        assert [problem.split(": ")[0] for problem in problems] == [f"{path}:{bad[0]}"]
    else:
        assert [problem.split(": ")[0] for problem in problems] == [f"{path}:{n}" for n in bad]
        whole = [row for number, row in enumerate(rows, 1) if number not in bad]
        assert [row.values for row in read] == whole


def _no_number(line: str) -> bool:
    found: list[str] = []
    json.loads(line, parse_constant=found.append)
    return bool(found)


words = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\n\r "), min_size=1, max_size=9
).filter(lambda word: word.strip() and not word.startswith(("-DOCSTART-", "\ufeff")))
sentences = st.lists(
    st.lists(st.tuples(words, st.sampled_from(["O", "B-x", "I-x"])), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


@given(corpus=sentences, end=breaks, separator=st.sampled_from(["\t", " "]))
def conll_is_read_whole(
    folder: Path, corpus: list[list[tuple[str, str]]], end: str, separator: str
) -> None:
    parts = [end.join(separator.join(pair) for pair in sentence) for sentence in corpus]
    problems: list[str] = []
    path = into_file(folder, ".conll", (end * 2).join(parts).encode())
    read = read_rows(path, problems, [])
    assert problems == []
    assert [
        list(zip(row.values["tokens"], row.values["tags"], strict=True)) for row in read
    ] == corpus


lines = st.lists(
    st.sampled_from(["", "#", "# id 1", "# a = b", "-DOCSTART- -X- O", "word\ttag", "Anna B-x"])
    | st.lists(
        st.sampled_from(["1", "2", "Anna", "#", "#a", "_", "O", "B-x", "o", "b_x", "", "PER"]),
        min_size=1,
        max_size=4,
    ).map("\t".join)
    | st.sampled_from(["Anna\tB-x", "#\tO", "1\tran\tO", "2\tto\tO", "1-2\tdel\tO"]),
    min_size=1,
    max_size=12,
)


@given(content=lines, words=st.booleans(), labelled=st.booleans(), separator=st.sampled_from("\t "))
def every_line_of_columns_is_a_word_or_told(
    folder: Path, content: list[str], words: bool, labelled: bool, separator: str
) -> None:
    text = "\n".join(content).replace("\t", separator)
    path = into_file(folder, ".conll", text.encode())
    problems: list[str] = []
    notices: list[str] = []
    reading = ReadingOptions(format="conll")
    read = read_rows(path, problems, notices, reading, labelled=labelled, words=words)
    told = [int(found[1]) for line in notices if (found := re.search(r": (\d+) .* skipped", line))]
    faults = [text for text in problems if re.match(rf"{re.escape(path)}:\d", text)]
    whole = len(problems) > len(faults)  # nothing of the file is read
    filled = sum(bool(line.strip(" \t")) for line in text.split("\n"))
    given_words = sum(len(row.values["tokens"]) for row in read)
    assert whole or given_words + sum(told) + len(faults) == filled


stray = st.lists(
    st.tuples(st.sampled_from(["text", "label"]), st.integers(1, 11), st.booleans()), max_size=3
)


@given(quotes=stray, order=st.booleans(), delimiter=st.sampled_from(",;\t"))
def no_quote_loses_a_row_in_silence(
    folder: Path, quotes: list[tuple[str, int, bool]], order: bool, delimiter: str
) -> None:
    rows = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(12)]
    for column, place, before in quotes:
        rows[place][column] = '"' + rows[place][column] if before else rows[place][column] + '"'
    names = ["text", "label"] if order else ["label", "text"]
    content = [
        delimiter.join(names),
        *(delimiter.join(row[name] for name in names) for row in rows),
    ]
    path = into_file(folder, ".csv", "\n".join(content).encode())
    problems: list[str] = []
    notices: list[str] = []
    read = read_rows(path, problems, notices)
    assert len(read) == 12 or problems or notices
    problems = []
    read = read_rows(path, problems, [], ReadingOptions(csv_quotes=False))
    assert (len(read), problems) == (12, [])


columns = st.sampled_from(
    [
        (pyarrow.string(), cells),
        (pyarrow.int64(), st.integers(-(2**63), 2**63 - 1)),
        (pyarrow.float64(), st.floats(allow_nan=False)),
        (pyarrow.bool_(), st.booleans()),
        (pyarrow.binary(), st.binary(max_size=5)),
        (pyarrow.timestamp("s"), st.datetimes().map(lambda when: when.replace(microsecond=0))),
        (pyarrow.list_(pyarrow.string()), st.lists(cells, max_size=3)),
    ]
)


@given(data=st.data(), count=st.integers(1, 4))
def parquet_is_read_whole(folder: Path, data: st.DataObject, count: int) -> None:
    arrays, names = [], data.draw(st.lists(cells, min_size=1, max_size=3, unique=True))
    for _ in names:
        kind, values = data.draw(columns)
        drawn = data.draw(st.lists(st.none() | values, min_size=count, max_size=count))
        arrays.append(pyarrow.array(drawn, kind))
    table = pyarrow.table(arrays, names=names)
    path = folder / "a.parquet"
    pyarrow.parquet.write_table(table, path)
    problems: list[str] = []
    read = read_rows(str(path), problems, [])
    assert problems == []
    assert [row.values for row in read] == table.to_pylist()
    for task in ("ner", "classification"):
        read_or_refuse(load_splits, task, train_file=str(path), validation_share=0.5)


# --- Through tokenizers and models ----------------------------------------------------------------

FAMILIES = ("bert", "roberta", "xlm-roberta", "albert", "deberta-v2", "modernbert")
FAMILIES += ("gpt2", "llama", "qwen2", "gemma")


@pytest.fixture(scope="module")
def tokenizers(tiny_model: Callable[[str], str]) -> dict[str, tuple[Any, Any]]:
    """For words and for texts, of each kind of tokenizer."""
    return {
        family: (load_tokenizer(tiny_model(family), words=True), load_tokenizer(tiny_model(family)))
        for family in FAMILIES
    }


@given(data=st.data())
def every_word_is_tokenized_once(tokenizers: dict[str, Any], data: st.DataObject) -> None:
    for_words, for_texts = tokenizers[data.draw(st.sampled_from(FAMILIES))]
    given_texts = data.draw(st.lists(texts, min_size=1, max_size=3))
    given_words = data.draw(
        st.lists(texts | st.sampled_from([" ", "\u2028"]), min_size=1, max_size=30)
    )
    pairs = [(text, data.draw(texts)) for text in given_texts]
    tagged = NerExample(words=tuple(given_words), tags=("B-x",) * len(given_words), source="a")
    examples = [*(text_example(text) for text in given_texts), tagged]
    for causal in (False, True):
        task = NerTask(["O", "B-x", "I-x"], causal=causal)
        features = task.featurize([examples[-1]], for_words, max_length=12)
        assert features["words"] is not None
        assert features["token_labels"] is not None
        owned = features["words"][features["words"] >= 0].tolist()
        assert len(owned) == len(set(owned))
        assert set(owned) <= set(range(len(task.pieces(tagged).texts)))
        assert (features["words"][features["token_labels"] >= 0] >= 0).all()
        assert features.lengths.max() <= 12
        task.featurize(examples[:-1], for_words, max_length=12)
    for rows in (
        [TextExample(text=text, label=None, source="a") for text in given_texts],
        [TextExample(text=a, text_pair=b, label=None, source="a") for a, b in pairs],
    ):
        features = ClassificationTask(["a", "b"]).featurize(rows, for_texts, max_length=12)
        assert len(features.lengths) == len(rows)
        assert features.lengths.min() > 0


@given(content=st.lists(texts, min_size=1, max_size=3), seed=st.integers(0, 9))
def offsets_give_back_the_text(content: list[str], seed: int) -> None:
    task = NerTask(["O", "B-x", "I-x", "B-y", "I-y"])
    examples = [text_example(text) for text in content]
    count = sum(len(example.words) for example in examples)
    draw = random.Random(seed)
    drawn = {
        "label": np.array([draw.randrange(5) for _ in range(count)]),
        "score": np.ones(count, np.float32),
    }
    for answer, text in zip(task.answer(examples, drawn), content, strict=True):
        assert answer["text"] == text
        end = 0
        for entity in answer["entities"]:
            assert end <= entity["start"] < entity["end"] <= len(text)
            assert text[entity["start"] : entity["end"]] == entity["text"] != ""
            end = entity["end"]


@pytest.fixture(scope="module")
def predictors(trained_run: Callable[..., Path]) -> list[Predictor]:
    kinds = (("ner", "bert"), ("ner", "llama"), ("single", "bert"), ("single", "llama"))
    return [load_predictor(trained_run(kind, family)) for kind, family in kinds]


@given(content=st.lists(any_text, min_size=1, max_size=3), which=st.integers(0, 3))
def every_text_gets_an_answer(predictors: list[Predictor], content: list[str], which: int) -> None:
    answers = read_or_refuse(predictors[which], content)
    assert (answers is None) == any(text_fault(text) for text in content if text.strip())
    for answer, text in zip(answers or (), content if answers else (), strict=True):
        assert answer["text"] == text
        json.dumps(answer, ensure_ascii=False).encode()
        for entity in answer.get("entities", ()):
            assert text[entity["start"] : entity["end"]] == entity["text"]


PROPERTIES: dict[Callable[..., None], str | None] = {
    any_file: "folder",
    any_saved_dataset: "saved",
    any_standard_input: None,
    csv_is_read_whole: "folder",
    json_is_read_whole_or_named: "folder",
    conll_is_read_whole: "folder",
    every_line_of_columns_is_a_word_or_told: "folder",
    no_quote_loses_a_row_in_silence: "folder",
    parquet_is_read_whole: "folder",
    every_word_is_tokenized_once: "tokenizers",
    offsets_give_back_the_text: None,
    every_text_gets_an_answer: "predictors",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def check(property_: Callable[..., None], request: pytest.FixtureRequest) -> None:
    fixture = PROPERTIES[property_]
    property_(**({} if fixture is None else {fixture: request.getfixturevalue(fixture)}))


@pytest.mark.parametrize("property_", PROPERTIES, ids=lambda property_: property_.__name__)
def test_property(property_: Callable[..., None], request: pytest.FixtureRequest) -> None:
    check(property_, request)


@pytest.mark.slow
@pytest.mark.parametrize("property_", PROPERTIES, ids=lambda property_: property_.__name__)
def test_deeper(property_: Callable[..., None], request: pytest.FixtureRequest) -> None:
    examples = int(os.environ.get("LOWCOST_FT_EXAMPLES", "2000"))
    check(settings(max_examples=examples, derandomize=False)(property_), request)


# --- Enormous inputs ------------------------------------------------------------------------------

MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "text", ["a" * MEGABYTE, "a " * (MEGABYTE // 2), "漢" * (MEGABYTE // 3), "\u0301" * 500_000]
)
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_megabyte(tokenizers: dict[str, Any], family: str, text: str) -> None:
    """Neither refused nor slow: time grows as the text does."""
    for_words, for_texts = tokenizers[family]
    started = time.process_time()
    tagged = text_example(text)
    features = NerTask(["O", "B-x", "I-x"]).featurize([tagged], for_words, max_length=64)
    assert features["words"] is not None
    assert len(np.unique(features["words"])) - 1 <= len(tagged.words)
    row = TextExample(text=text, label=None, source="a")
    features = ClassificationTask(["a", "b"]).featurize([row], for_texts, max_length=64)
    assert features.lengths.max() <= 64
    assert time.process_time() - started < 30


@pytest.mark.parametrize("extension", [".csv", ".jsonl"])
def test_a_megabyte_in_a_field(folder: Path, extension: str) -> None:
    long = "wörd " * (MEGABYTE // 6)
    rows = [{"text": long if i == 3 else f"{i}", "label": "ab"[i % 2]} for i in range(30)]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    if extension == ".csv":
        content = "text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in rows)
    splits = load_splits(
        "classification", train_file=into_file(folder, extension, content.encode())
    )
    assert long in [example.text for example in [*splits.train, *splits.validation]]


def test_thousands_of_labels(folder: Path) -> None:
    count = 4_000
    rows = "".join(f"text {i},label {i % count}\n" for i in range(2 * count))
    path = into_file(folder, ".csv", f"text,label\n{rows}".encode())
    splits = load_splits("classification", train_file=path, validation_share=0.5)
    assert len(splits.labels) == count
    assert {example.label for example in splits.validation} == set(splits.labels)
    lines = "".join(f"w{i}\tB-type {i % count}\n\n" for i in range(2 * count))
    path = into_file(folder, ".conll", lines.encode())
    assert len(load_splits("ner", train_file=path).labels) == 2 * count + 1
