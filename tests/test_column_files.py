"""Files with one word a line: which column is what, and which lines are not words."""

import os
from collections import Counter
from pathlib import Path

import pytest

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.column_files import read_columns
from lowcost_ft.data.readers import read_rows
from lowcost_ft.data.rows import Row
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.inputs import read_examples_file
from lowcost_ft.tasks.loading import load_splits

REAL_DATA = Path(
    os.environ.get("LOWCOST_FT_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)

GERMEVAL = """#\thttp://de.wikipedia.org/wiki/Manfred_Korfmann [2009-10-17]
1\tAufgrund\tO\tO
2\tder\tO\tO
3\tUniversität\tB-ORG\tO
4\tTübingen\tI-ORG\tB-LOC

#\thttp://de.wikipedia.org/wiki/Schartau [2010-01-10]
1\tSchartau\tB-PER\tO
2\tsagte\tO\tO
"""
UNIVERSAL_NER = """# newdoc id = d0
# sent_id = s0
# text = Where is Iguazu?
1\tWhere\tO\t-\tanna
2\tis\tO\t-\tanna
3\tIguazu\tB-LOC\t-\tanna
4\t?\tO\t-\tanna

# sent_id = s1
# text = Anna
1\tAnna\tB-PER\t-\tanna
"""
MULTICONER = """# id 5239d808-f300-46ea-aa3b-5093040213a3\tdomain=en
his _ _ O
playlist _ _ O
sonoko _ _ B-PER

# id 6239d808-f300-46ea-aa3b-5093040213a3\tdomain=en
rome _ _ B-LOC
"""
CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""
LABEL_STUDIO = """-DOCSTART- -X- O
EU -X- _ B-ORG
rejects -X- _ O

Peter -X- _ B-PER
"""
CONLL_PLUS = """# global.columns = ID FORM UPOS NER MISC
1\tAnna\tPROPN\tB-PER\tSpaceAfter=No
2-3\tdel\t_\tO\t_
2\tde\tADP\tO\t_
3\tel\tDET\tO\t_
"""
ONTONOTES = """bc/cctv/00 0 0 Anna NNP B-PERSON
bc/cctv/00 0 1 met VBD O

bc/cctv/00 0 0 Ben NNP B-PERSON
bc/cctv/00 0 1 there RB O
"""
SENTENCE_NUMBERS = "1 Anna B-PER\n1 ran O\n\n2 to O\n2 Rome B-LOC\n"
TAG_FIRST = "B-Rating\t2\nI-Rating\tstart\nO\trestaurants\n\nO\twith\n"


def read(
    content: str, *, labelled: bool = True, **columns: str
) -> tuple[list[Row], list[str], list[str]]:
    problems: list[str] = []
    notices: list[str] = []
    rows = read_columns(
        "a", content, problems, notices, ReadingOptions(**columns), labelled=labelled
    )
    return rows, problems, notices


def words_and_tags(rows: list[Row]) -> list[tuple[str, str]]:
    return [
        (" ".join(words), " ".join(tags)) for words, tags in (row.values.values() for row in rows)
    ]


@pytest.mark.parametrize(
    ("content", "expected", "notice"),
    [
        (
            GERMEVAL,
            [
                ("Aufgrund der Universität Tübingen", "O O B-ORG I-ORG"),
                ("Schartau sagte", "B-PER O"),
            ],
            "the words are column 2 and the tags column 3 of 4; tags are in column 4, too",
        ),
        (
            UNIVERSAL_NER,
            [("Where is Iguazu ?", "O O B-LOC O"), ("Anna", "B-PER")],
            "the words are column 2 and the tags column 3 of 5 (",
        ),
        (MULTICONER, [("his playlist sonoko", "O O B-PER"), ("rome", "B-LOC")], None),
        (
            CONLL_2003,
            [("EU rejects", "B-ORG O"), ("Peter Blackburn", "B-PER I-PER")],
            "the words are column 1 and the tags column 4 of 4; tags are in column 3, too",
        ),
        (LABEL_STUDIO, [("EU rejects", "B-ORG O"), ("Peter", "B-PER")], None),
        (CONLL_PLUS, [("Anna de el", "B-PER O O")], None),
        (
            ONTONOTES,
            [("Anna met", "B-PERSON O"), ("Ben there", "B-PERSON O")],
            "the words are column 4 and the tags column 6 of 6 (",
        ),
        (
            SENTENCE_NUMBERS,
            [("Anna ran", "B-PER O"), ("to Rome", "O B-LOC")],
            "the words are column 2 and the tags column 3 of 3 (",
        ),
        (
            TAG_FIRST,
            [("2 start restaurants", "B-Rating I-Rating O"), ("with", "O")],
            "the words are column 2 and the tags column 1 of 2 (",
        ),
    ],
)
def test_the_columns_of_known_corpora(
    content: str, expected: list[tuple[str, str]], notice: str | None
) -> None:
    rows, problems, notices = read(content)
    assert problems == []
    assert words_and_tags(rows) == expected
    told = [line for line in notices if "the words are column" in line]
    assert len(told) == (notice is not None)
    if notice is not None:
        assert told[0].startswith(f"a: {notice}")
        assert "--tokens-column and --tags-column choose others" in told[0]


def test_a_file_without_blank_lines_is_cut_where_its_numbering_begins_again() -> None:
    rows, _, _ = read("1\tAnna\tB-PER\n2\tran\tO\n1\tto\tO\n2\tRome\tB-LOC\n")
    assert words_and_tags(rows) == [("Anna ran", "B-PER O"), ("to Rome", "O B-LOC")]


def test_sentences_without_blank_lines_between_them_are_told(tmp_path: Path) -> None:
    sentence = "Ann B-PER\nran O\n. O\n"
    for between, told in (("\n", False), ("", True)):
        file = tmp_path / "a.conll"
        file.write_text(between.join([sentence] * 5))
        problems: list[str] = []
        notices: list[str] = []
        read_rows(str(file), problems, notices)
        assert any("write a blank line after each" in notice for notice in notices) == told


def test_columns_are_chosen_by_number() -> None:
    rows, problems, notices = read(GERMEVAL, tokens_column="2", tags_column="4")
    assert problems == []
    assert list(rows[0].values) == ["2", "4"]
    assert words_and_tags(rows)[0][1] == "O O O B-LOC"
    assert notices == ["a: 2 comment line(s) skipped, the first is line 1"]
    rows, _, _ = read(GERMEVAL, tags_column="3")
    assert words_and_tags(rows)[1] == ("Schartau sagte", "B-PER O")
    rows, _, _ = read(CONLL_2003, tags_column="3")
    assert words_and_tags(rows)[0] == ("EU rejects", "B-NP B-VP")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"tokens_column": "5"}, 'a: no column "5" (--tokens-column); its columns have no names: '),
        ({"tags_column": "0"}, 'a: no column "0" (--tags-column); its columns have no names: give'),
        ({"tags_column": "ner"}, 'a: no column "ner" (--tags-column); its columns have no names'),
        ({"tokens_column": "2", "tags_column": "2"}, "--tags-column are the same column"),
    ],
)
def test_columns_that_are_not_there(columns: dict[str, str], message: str) -> None:
    rows, problems, _ = read(GERMEVAL, **columns)
    assert rows == []
    assert len(problems) == 1
    assert message in problems[0]


def test_numbers_are_obeyed_from_the_flags_on_and_again_with_the_model(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(GERMEVAL * 20)
    reading = ReadingOptions(tokens_column="2", tags_column="4")
    splits = load_splits("ner", train_file=str(path), reading=reading)
    assert splits.labels == ["O", "B-LOC", "I-LOC"]
    flags = {"labelled": True, "labels": splits.labels}
    examples = read_examples_file("ner", str(path), usual=reading, **flags)
    assert examples[0].words == ("Aufgrund", "der", "Universität", "Tübingen")
    assert examples[0].tags == ("O", "O", "O", "B-LOC")


def test_names_of_a_header_choose_columns() -> None:
    content = "Wort\tArt\tEtikett\tRest\nAnna\tN\tB-PER\tO\nlief\tV\tO\tO\n"
    rows, problems, _ = read(content, tokens_column="Wort", tags_column="etikett")
    assert problems == []
    assert words_and_tags(rows) == [("Anna lief", "B-PER O")]
    assert list(rows[0].values) == ["Wort", "etikett"]


def test_words_that_are_all_numbers_are_refused() -> None:
    rows, problems, _ = read("17 Anna B-PER\n12 ran O\n\n40 to O\n")
    assert rows == []
    assert problems[0].startswith('a: the words, in column 1 of 3, are all numbers (the first is "')
    assert "--tokens-column" in problems[0]
    rows, problems, _ = read("17 Anna B-PER\n12 ran O\n\n40 to O\n", tokens_column="2")
    assert words_and_tags(rows)[0] == ("Anna ran", "B-PER O")
    rows, problems, _ = read("17 CD B-PER\n12 CD O\n\n40 CD O\n", tokens_column="1")
    assert (len(rows), problems) == (2, [])
    assert read("2020\tB-DATE\n7\tO\n")[1] == []  # numbers among two columns are words
    assert read("\n".join(f"{i}\tO" for i in range(5, 95)))[1]


def test_a_column_file_without_tags() -> None:
    content = "1\tvamos\tir\tVERB\t_\n2\tal\tal\tADP\t_\n"
    rows, problems, _ = read(content, labelled=False)
    assert problems == []
    assert [row.values for row in rows] == [{"tokens": ["vamos", "al"]}]
    rows, problems, _ = read(content)
    assert rows == []
    assert problems[0].startswith("a: none of its 5 columns holds tags such as O and B-person;")


# --- Comments and headers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "comment",
    [
        "# sent_id = s0",
        "# text = Anna lives in O",
        "# global.columns = ID FORM NER",
        "#",
        "# id 5239 domain=en",
        "#begin document (bc/cctv/00); part 000",
        "#\tnot a tag",
        "# a\tb\tc\td",
    ],
)
@pytest.mark.parametrize("separator", ["\t", " "])
def test_a_comment_lacks_the_columns_or_the_tag(comment: str, separator: str) -> None:
    content = f"{comment}\nAnna\tB-PER\n{comment}\nran\tO\n\n{comment}\n#\tO\n#hi\tB-PER\n"
    content = content.replace("Anna\t", f"Anna{separator}").replace("ran\t", f"ran{separator}")
    content = content.replace("#\tO", f"#{separator}O").replace("#hi\t", f"#hi{separator}")
    rows, problems, notices = read(content)
    assert problems == []
    assert words_and_tags(rows) == [("Anna ran", "B-PER O"), ("# #hi", "O B-PER")]
    assert rows[0].first_line == (2, 4)
    assert rows[1].first_line == 7
    assert notices == ["a: 3 comment line(s) skipped, the first is line 1"]


def test_lines_of_words_are_told_where_comments_stand_between(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("Anna\tB-PER\n# note\nran\tX-PER\n\n" + "a\tO\nb\tB-PER\n\n" * 20)
    with pytest.raises(UserError) as caught:
        load_splits("ner", train_file=str(path))
    assert str(caught.value).startswith(f"{path}:3: tag is")


@pytest.mark.parametrize(
    "header", ["Word\tTag", "token\tner_tag", "TOKEN\tLABEL", "# word\ttag", "id\tword\ttag"]
)
def test_a_header_is_skipped_wherever_it_stands(header: str) -> None:
    rows, problems, notices = read(f"{header}\nAnna\tB-PER\n\n{header}\nran\tO\n")
    assert problems == []
    assert words_and_tags(rows) == [("Anna", "B-PER"), ("ran", "O")]
    kind = "comment" if header.startswith("#") else "header"
    assert notices == [f"a: 2 {kind} line(s) skipped, the first is line 1"]


def test_words_that_could_be_a_header_are_words() -> None:
    rows, problems, notices = read("word\tO\ntag\tB-x\n")
    assert (words_and_tags(rows), problems, notices) == ([("word tag", "O B-x")], [], [])


@pytest.mark.parametrize("first", ["-DOCSTART- -X- O", "# a comment", "# sent_id = s0"])
def test_most_lines_decide_between_tabs_and_blanks(first: str) -> None:
    rows, problems, _ = read(f"{first}\n\nNew York\tB-LOC\nis\tO\n")
    assert problems == []
    assert words_and_tags(rows) == [("New York is", "B-LOC O")]
    rows, problems, _ = read("# a\tcomment with tabs\nAnna B-PER\nran O\n")
    assert problems == []
    assert words_and_tags(rows) == [("Anna ran", "B-PER O")]


def test_a_first_line_with_blanks_does_not_decide() -> None:
    rows, problems, _ = read("Anna O\nNew York\tB-LOC\nis\tO\n")
    assert [problem.split(" in ")[0] for problem in problems] == ["a:1: a word without a tag"]
    assert words_and_tags(rows) == [("New York is", "B-LOC O")]
    rows, problems, _ = read("a O\nb\tO\nc\tB-x\n")  # blanks cut all lines alike
    assert (words_and_tags(rows), problems) == ([("a b c", "O O B-x")], [])


@pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason=f"no data folder {REAL_DATA} (LOWCOST_FT_DATA names another)"
)
def test_hashes_of_wnut_are_words() -> None:
    counts: Counter[str] = Counter()
    for name, sentences, words in (
        ("train", 3394, 62730),
        ("dev", 1009, 15733),
        ("test", 1287, 23394),
    ):
        text = (REAL_DATA / "wnut17" / f"{name}.conll").read_text(encoding="utf-8")
        rows, problems, notices = read(text)
        assert (problems, notices) == ([], [])
        everything = [word for row in rows for word in row.values["tokens"]]
        assert (len(rows), len(everything)) == (sentences, words)
        counts["#..."] += sum(word.startswith("#") for word in everything)
        counts["#"] += everything.count("#")
    assert counts == {"#...": 1097, "#": 271}
