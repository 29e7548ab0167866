"""Rows with a text and the text to write, in every layout that people have, become one form."""

import json
import os
from pathlib import Path

import pytest

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.known_names import (
    DOCUMENT_NAMES,
    SOURCE_NAMES,
    SUMMARY_NAMES,
    TARGET_NAMES,
)
from lowcost_ft.data.language_codes import language_name, same_language
from lowcost_ft.data.languages import language_by_script
from lowcost_ft.data.pair_faults import fault_notices, pair_faults
from lowcost_ft.data.python_rows import read_python_rows
from lowcost_ft.data.readers import read_rows
from lowcost_ft.data.sample_translations import sample_translations
from lowcost_ft.data.text_pairs import read_pairs

DATA = Path(
    os.environ.get("LOWCOST_FT_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)
TICO = DATA / "tico19_en_fr"


def pairs(path, *, names=(SOURCE_NAMES, TARGET_NAMES), **options):
    """Rows, problems and notices of a file."""
    problems: list[str] = []
    notices: list[str] = []
    labelled = options.get("labelled", True)
    reading = ReadingOptions(format=options.pop("format", "auto"))
    rows = read_rows(str(path), problems, notices, reading, labelled=labelled)
    if problems:
        return [], problems, notices
    read = read_pairs(
        rows,
        source_names=names[0],
        target_names=names[1],
        problems=problems,
        notices=notices,
        **options,
    )
    return [row.values for row in read], problems, notices


def written(folder, name, content):
    path = folder / name
    if not isinstance(content, str):
        content = "".join(json.dumps(row) + "\n" for row in content)
    path.write_text(content, "utf-8")
    return path


TATOEBA = [("Go.", "Geh."), ("Hi, Tom.", "Hallo, Tom!"), ("Run fast!", "Lauf schnell!")]


@pytest.mark.parametrize("name", ["deu.txt", "pairs.tsv"])
@pytest.mark.parametrize("form", ["attribution", "numbers"])
def test_pairs_of_tatoeba_need_no_header(tmp_path, name, form):
    credit = "CC-BY 2.0 (France) Attribution: tatoeba.org #1 (CM) & #2 (Roujin)"
    lines = [
        f"{a}\t{b}\t{credit}" if form == "attribution" else f"{n}\t{a}\t{n + 900}\t{b}"
        for n, (a, b) in enumerate(TATOEBA, 1276)
    ]
    path = written(tmp_path, name, "\n".join([*lines, ""]))
    rows, problems, notices = pairs(path)
    assert problems == [] and [(row["source"], row["target"]) for row in rows] == TATOEBA
    assert [row.get("id") for row in rows] == (
        [None] * 3 if form == "attribution" else ["1276", "1277", "1278"]
    )
    assert any("read as pairs of sentences of Tatoeba" in notice for notice in notices)
    turned, _, _ = pairs(path, source_column="target", target_column="source")
    assert [(row["target"], row["source"]) for row in turned] == TATOEBA
    plain, _, _ = pairs(path, labelled=False)
    assert [row["source"] for row in plain] == [a for a, _ in TATOEBA]


def test_numbered_words_and_tags_are_no_sentences(tmp_path):
    path = written(tmp_path, "a.tsv", "1\tgo\t2\tO\n2\thome\t3\tO\n")
    assert pairs(path)[1] and not any("Tatoeba" in notice for notice in pairs(path)[2])


def test_a_table_of_two_texts_without_a_header_says_what_to_give(tmp_path):
    content = "".join(f"{a}\t{b}\n" for a, b in TATOEBA)
    _, problems, _ = pairs(written(tmp_path, "two.txt", content))
    assert "add --format tsv --source-column 1 --target-column 2" in problems[0]
    _, problems, _ = pairs(written(tmp_path, "two.tsv", content))
    assert "give the column's number: --source-column 1" in problems[0]
    reading = ReadingOptions(format="tsv", source_column="1", target_column="2")
    for name in ("two.txt", "two.tsv"):
        rows = read_rows(str(tmp_path / name), [], [], reading)
        assert [tuple(row.values.values()) for row in rows] == TATOEBA


ONE = {"source": "the lamp", "target": "la lampe", "references": ["la lampe"]}


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.jsonl", [{"source": "the lamp", "target": "la lampe"}], {}),
        ("a.json", json.dumps([{"input": "the lamp", "output": "la lampe"}]), {}),
        ("a.csv", "src,tgt\nthe lamp,la lampe\n", {}),
        ("a.tsv", "prompt\tcompletion\nthe lamp\tla lampe\n", {}),
        (
            "a.jsonl",
            [{"translation": {"fr": "la lampe", "en": "the lamp"}}],
            {"source_language": "en", "target_language": "fr"},
        ),
        (
            "a.csv",
            'n,translation\n1,"{""fr"": ""la lampe"", ""en"": ""the lamp""}"\n',
            {"source_language": "eng_Latn", "target_language": "fr_XX"},
        ),
        (
            "a.jsonl",
            [{"translation": {"fr": "la lampe", "en": "the lamp"}}],
            {"source_language": "en"},
        ),
        (
            "a.csv",
            "en,fr,de\nthe lamp,la lampe,die Lampe\n",
            {"source_language": "en", "target_language": "fr"},
        ),
        (
            "a.csv",
            "one,two\nthe lamp,la lampe\n",
            {"source_column": "one", "target_column": "2"},
        ),
    ],
)
def test_every_layout_of_pairs_is_read(tmp_path, name, content, options):
    rows, problems, _ = pairs(written(tmp_path, name, content), **options)
    assert problems == []
    assert rows == [ONE]


def test_a_summary_may_have_several_references(tmp_path):
    names = (DOCUMENT_NAMES, SUMMARY_NAMES)
    content = [{"id": 7, "document": "long", "summary": ["short", "brief"]}]
    rows, problems, notices = pairs(written(tmp_path, "a.jsonl", content), names=names)
    assert not problems
    assert rows == [
        {"id": 7, "source": "long", "target": "short", "references": ["short", "brief"]}
    ]
    assert any("the first is learned" in notice for notice in notices)
    content = [{"text": "long", "highlights": "short", "references": ["brief", "short"]}]
    rows, problems, _ = pairs(written(tmp_path, "b.jsonl", content), names=names)
    assert rows[0]["references"] == ["short", "brief"]


def test_sentences_of_a_document_are_joined(tmp_path):
    content = [{"source": ["The lamp broke. ", "I want a new one."], "target": ["new lamp"]}]
    names = (DOCUMENT_NAMES, SUMMARY_NAMES)
    path = written(tmp_path, "a.jsonl", content)
    rows, problems, notices = pairs(path, names=names, joins_sources=True)
    assert not problems and rows[0]["source"] == "The lamp broke. I want a new one."
    assert any("of 1 row were joined" in notice for notice in notices)


def test_units_that_nobody_has_translated_yet_are_left_out(tmp_path):
    unit = '<tu><tuv xml:lang="en"><seg>{}</seg></tuv><tuv xml:lang="fr"><seg>{}</seg></tuv></tu>'
    twice = unit.format("the lamp", "la lampe").replace(
        "</tuv>", '</tuv><tuv xml:lang="en"><seg>a lamp</seg></tuv>', 1
    )
    content = "<tmx><body>\n" + twice + "\n" + unit.format("a chair", "") + "</body></tmx>"
    path = written(tmp_path, "a.tmx", content)
    languages = {"source_language": "en", "target_language": "fr"}
    rows, problems, notices = pairs(path, **languages)
    assert not problems and rows == [ONE]
    told = "\n".join(notices)
    assert f'1 row without a text in "en" or "fr" left out, first at {path}:3' in told
    assert '1 row with several texts in "en", of which the first is read, first at' in told


def test_units_of_several_regions_are_one_language(tmp_path):
    path = written(
        tmp_path,
        "a.jsonl",
        [
            {"translation": {"en": "one", "fr-CA": "un"}},
            {"translation": {"en-GB": "two", "fr-FR": "deux", "de": "zwei"}},
            {"translation": {"en": "three", "en-US": "3", "fr-FR": "trois"}},
        ],
    )
    rows, problems, notices = pairs(path, source_language="en", target_language="fr")
    assert not problems
    assert [row["source"] for row in rows] == ["one", "two", "three"]
    assert [row["target"] for row in rows] == ["un", "deux", "trois"]
    assert '"en", "en-GB", "en-US" are read as one language (--source-language en)' in notices[0]
    rows, _, notices = pairs(path, source_language="en-GB", target_language="fr")
    assert [row["target"] for row in rows] == ["deux"]
    assert "2 rows without a text" in notices[-1]


def test_two_files_are_read_line_by_line(tmp_path):
    en = written(tmp_path, "train.en", "the lamp\n\nthe bed\n")
    fr = written(tmp_path, "train.fr", "la lampe\n\nle lit\n")
    rows, problems, notices = pairs(f"{en},{fr}")
    assert not problems
    assert [row["target"] for row in rows] == ["la lampe", "le lit"]
    assert any("1 line blank in both files" in notice for notice in notices)
    written(tmp_path, "train.fr", "la lampe\n\n\n")
    assert f"{en}:3" in pairs(f"{en},{fr}")[1][0]
    written(tmp_path, "train.fr", "la lampe\n")
    assert "has 3 lines and" in pairs(f"{en},{fr}")[1][0]
    assert "no such file" in pairs(f"{en},{tmp_path}/none.fr")[1][0]


@pytest.mark.parametrize("names", [("a.fr", "a.en"), ("a.fra_Latn.txt", "b.en.txt"), ("a.fr", "b")])
def test_two_files_in_the_other_order_than_the_languages_are_refused(tmp_path, names):
    for name in names:
        written(tmp_path, name, "the lamp\n")
    both = [str(tmp_path / name) for name in names]
    reading = ReadingOptions(source_language="en", target_language="fr-CA")
    problems: list[str] = []
    assert read_rows(",".join(both), problems, [], reading) == [] and len(problems) == 1
    assert "the first file is in the language --target-language fr-CA" in problems[0]
    problems.clear()
    assert read_rows(",".join(reversed(both)), problems, [], reading) and not problems


@pytest.mark.parametrize("column", ["references", "gold"])
def test_a_cell_of_csv_may_hold_several_references_as_json(tmp_path, column):
    content = f'source,target,{column}\nthe lamp,"[""a""]","[""la lampe"", ""lampe""]"\n'
    options = {} if column == "references" else {"references_column": column}
    rows, problems, _ = pairs(written(tmp_path, "a.csv", content), **options)
    # What is to be written may be JSON itself.
    assert not problems and rows[0]["target"] == '["a"]'
    assert rows[0]["references"] == ['["a"]', "la lampe", "lampe"]


TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en"/><body>
<tu tuid="1"><tuv xml:lang="EN-US"><seg>the <bpt i="1">&lt;b&gt;</bpt>lamp</seg></tuv>
<tuv xml:lang="fr"><seg>la
lampe</seg></tuv><tuv xml:lang="fr"><seg>cette lampe</seg></tuv></tu>
<tu><tuv xml:lang="en-US"><seg>the bed</seg></tuv></tu>
</body></tmx>
"""


def test_tmx_is_read(tmp_path):
    path = written(tmp_path, "a.tmx", TMX)
    rows, problems, notices = pairs(path, source_language="en", target_language="fr")
    assert not problems
    assert rows == [
        {**ONE, "id": "1", "references": ["la lampe", "cette lampe"]},
    ]
    assert any("formatting codes left out of 1 unit" in notice for notice in notices)
    assert any("1 row without a text in" in n and f"{path}:7" in n for n in notices)
    latin = tmp_path / "b.tmx"
    latin.write_bytes(TMX.replace("UTF-8", "iso-8859-1").replace("bed", "b\xe9d").encode("latin-1"))
    assert pairs(latin, source_language="en", target_language="fr")[0] == rows
    # The protected blanks of French are not layout of the file.
    path = written(tmp_path, "c.tmx", TMX.replace("la\nlampe", "\n la\u202f: \n\t lampe\u00a0? "))
    found = pairs(path, source_language="en", target_language="fr")[0]
    assert found[0]["target"] == "la\u202f: lampe\u00a0?"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (TMX.replace("</body>", ""), ":8: broken TMX, mismatched tag"),
        (TMX.replace('"tmx14.dtd">', '"x" [<!ENTITY a "b">]>'), ":2: defines the entity"),
        (TMX.replace(' xml:lang="fr"', ""), ":5: a tuv without xml:lang"),
        ("<?xml version='1.0'?><tmx><body/></tmx>", "holds no translation units"),
        (TMX.replace("UTF-8", "x-no-such"), "unknown encoding"),
    ],
)
def test_broken_tmx_is_told_with_its_line(tmp_path, content, told):
    path = written(tmp_path, "a.tmx", content)
    _, problems, _ = pairs(path, source_language="en", target_language="fr")
    assert len(problems) == 1 and told in problems[0] and str(path) in problems[0]


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        ([{"translation": {"en": "a", "fr": "b"}}], {}, "say which to translate from and into"),
        (
            [{"translation": {"en": "a", "fr": "b"}}],
            {"source_language": "en", "target_language": "de"},
            'no texts in the language --target-language de; the languages are "en", "fr"',
        ),
        (
            [{"translation": {"en": "a", "fr": "b"}}, {"translation": ["a"]}],
            {"source_language": "en", "target_language": "fr"},
            'a.jsonl:2: "translation" is',
        ),
        (
            [{"translation": {"en-GB": "a", "en-US": "c", "fr": "b"}}],
            {"source_language": "en", "target_language": "fr"},
            "are all en; name one",
        ),
        ([{"source": "a", "target": 7}], {}, 'a.jsonl:1: "target" is the number'),
        ([{"source": "a", "target": []}], {}, "is an empty list"),
        ([{"source": ["a"], "target": "b"}], {}, '"source" must be a text'),
        ([{"source": "a"}], {}, "no column for the target; name it with --target-column"),
        ([{"source": "a", "target": "\ud800"}], {}, "half a surrogate pair"),
        ([{"source": "a", "target": "b"}], {"target_column": "source"}, "are both read from"),
        (
            [{"id": 1, "en": "a", "fr": "b"}],
            {},
            'holds texts in "en", "fr"; say which to translate from and into, with '
            "--source-language and --target-language",
        ),
        (
            [{"en": "a", "fr": "b"}],
            {"source_language": "en", "target_language": "de"},
            'no texts in the language --target-language de; the languages are "en", "fr"',
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_and_row(tmp_path, content, options, told):
    _, problems, _ = pairs(written(tmp_path, "a.jsonl", content), **options)
    assert len(problems) == 1 and told in problems[0], problems


def test_inputs_alone_may_be_empty_and_need_no_target(tmp_path):
    path = written(tmp_path, "a.csv", "id,source,other\n1,the lamp,x\n2,,y\n")
    rows, problems, notices = pairs(path, labelled=False)
    assert not problems
    assert rows == [{"id": "1", "source": "the lamp"}, {"id": "2", "source": ""}]
    assert any("1 row without a text" in notice for notice in notices)
    path = written(tmp_path, "b.jsonl", [{"translation": {"en": "the lamp"}}])
    rows, problems, _ = pairs(path, labelled=False, source_language="en", target_language="fr")
    assert rows == [{"source": "the lamp"}] and not problems


def test_one_language_tells_the_other_where_a_table_has_two(tmp_path):
    path = written(tmp_path, "a.csv", "id,en,fr\n7,the lamp,la lampe\n")
    rows, problems, notices = pairs(path, source_language="fr")
    assert not problems and [(row["source"], row["target"]) for row in rows] == [
        ("la lampe", "the lamp")
    ]
    assert notices == [f'{path}: translated into "en" (--target-language overrides)']


def test_the_column_of_the_language_is_enough_where_nothing_is_learned(tmp_path):
    path = written(tmp_path, "a.csv", "en\nthe lamp\n")
    languages = {"source_language": "eng_Latn", "target_language": "fr"}
    rows, problems, notices = pairs(path, labelled=False, **languages)
    assert rows == [{"source": "the lamp"}] and not problems
    assert notices == [f'{path}: column "en" read as texts']
    assert pairs(path, **languages)[1]  # There is nothing to learn.
    # "id" is also the code of Indonesian.
    path = written(tmp_path, "b.csv", "id,text\n7,the lamp\n")
    rows, _, _ = pairs(path, labelled=False, source_language="id", target_language="fr")
    assert rows == [{"id": "7", "source": "the lamp"}]


def test_codes_of_languages():
    assert same_language("en", "eng_Latn") and same_language("zh-CN", "zho_Hans")
    assert same_language("x-klingon", "x") and not same_language("de", "da")
    assert language_name("fr_XX") == "French" and language_name("qq") is None


def sample_pairs(change):
    rows = sample_translations()["train"]
    for place, values in change.items():
        rows[place] = {**rows[place], **values}
    return read_python_rows(rows, "train", [])


LONG = "We are very sorry, but this sentence has nothing to do with what the customer wrote to us. "


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("length_ratio", {"target": LONG * 2}),
        ("copied_source", {"source": "I paid for it twice.", "target": "I paid for it twice. "}),
        (
            "target_language",
            {"target": "You can pick it up in the shop if it is there."},
        ),
        ("target_language", {"target": "Где мой заказ? Я жду уже неделю."}),
        ("source_language", {"source": "Vous pouvez venir dans le magasin avec la lampe."}),
    ],
)
def test_pairs_that_do_not_belong_together_are_found(kind, values):
    rows = sample_pairs({17: values, 40: values})
    faults = {fault.kind: fault for fault in pair_faults(rows)}
    assert set(faults[kind].places) == {17, 40}
    assert faults["duplicate_pair"].places == (40,) if len(values) == 2 else True
    told = fault_notices(rows, [faults[kind]])[0]
    assert "2 of 300 pairs" in told and "train:row 18, train:row 41" in told


def test_the_script_tells_languages_without_blanks():
    assert language_by_script(["我的订单到了吗?", "Where is my order?", "什么时候发货?"]) == "zh"
    assert language_by_script(["荷物はどこですか", "いつ届きますか"]) == "ja"
    assert language_by_script(["Where is my order?"]) is None and language_by_script([]) is None


def test_good_pairs_are_left_in_peace():
    assert pair_faults(sample_pairs({})) == []
    assert pair_faults([]) == []


@pytest.mark.parametrize(
    ("code", "usual", "rare"),
    [
        ("sr", "Мој пакет није стигао, реците ми молим вас", "Реците ми молим вас"),  # noqa: RUF001
        ("sr", "Gde je moj paket, recite mi molim vas", "Recite mi molim vas"),
        ("ja", "荷物はどこですか、教えてください", "東京都庁舎前"),
    ],
)
def test_a_language_may_have_several_scripts(code, usual, rare):
    texts = [f"{usual} {number}" for number in range(20)] + [rare]
    rows = [{"source": f"Where is my parcel {i}?", "target": text} for i, text in enumerate(texts)]
    read = read_python_rows(rows, "train", [])
    kinds = {fault.kind for fault in pair_faults(read, target_language=code)}
    assert "target_language" not in kinds
    wrong = read_python_rows(
        [*rows, {"source": "Hello", "target": "안녕하세요 반갑습니다"}], "train", []
    )
    found = {fault.kind: fault for fault in pair_faults(wrong, target_language=code)}
    assert found["target_language"].places == (21,)


@pytest.mark.skipif(not TICO.is_dir(), reason="the public data are not on this machine")
def test_public_pairs_are_read_from_tmx_and_their_faults_are_few():
    rows, problems, _ = pairs(TICO / "all.en-fr.tmx", source_language="en", target_language="fr")
    assert not problems and len(rows) == 3071
    read = read_python_rows(rows, "train", [])
    faults = pair_faults(read, source_language="en", target_language="fr")
    assert 0 < sum(len(fault.places) for fault in faults) < 120
