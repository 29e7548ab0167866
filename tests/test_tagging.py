"""Words, tagging schemes and spans, as properties and on the examples that define them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from lowcost_ft.tasks.ner import tagging
from lowcost_ft.tasks.ner.tagging import Span

# Every code point, lone surrogates included, with the awkward ones made frequent.
any_text = st.text(
    st.characters(codec=None, exclude_categories=())
    | st.sampled_from(" \t\n\0\u00a0\u200b\u200d\u0301\ud800\u2028漢ひカก한_a1.'\U0001f600\ufe0f")
)
labels = st.sampled_from(["x", "y", "I-x", "a b"])


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in tagging.split_words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n\u00a0\u3000\u2028", []),
        ("Hello, Anna!", ["Hello", ",", "Anna", "!"]),
        ("don't e-mail a_b 3.5", ["don", "'", "t", "e", "-", "mail", "a_b", "3", ".", "5"]),
        ("我住在北京。", ["我", "住", "在", "北", "京", "。"]),
        ("BERT模型v2", ["BERT", "模", "型", "v2"]),
        ("ひらがな カタカナ ｶﾅ", [*"ひらがな", *"カタカナ", *"ｶﾅ"]),
        ("ไทยำ", ["ไ", "ท", "ย", "ำ"]),
        ("한국어 좋아", ["한국어", "좋아"]),
        ("мир naïve cafe\u0301", ["мир", "naïve", "cafe\u0301"]),
        ("हिन्दी", ["हिन्दी"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # noqa: RUF001 - a joiner
        ("❤\ufe0f👍🏽", ["❤\ufe0f", "👍", "🏽"]),
        ("か\u3099", ["か\u3099"]),
        ("a\0b", ["a", "\0", "b"]),
        ("\u200bab", ["\u200bab"]),
        ("\u0301", ["\u0301"]),
        ("\ud800x", ["\ud800", "x"]),
        ("𠀋𝒳", ["𠀋", "𝒳"]),  # noqa: RUF001 - beyond the first 65,536 characters
    ],
)
def test_split_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(any_text)
def test_every_visible_character_is_in_exactly_one_word(text: str) -> None:
    offsets = tagging.split_words(text)
    covered = [position for start, end in offsets for position in range(start, end)]
    assert covered == sorted(set(covered))
    assert all(start < end for start, end in offsets)
    assert covered == [i for i, character in enumerate(text) if not character.isspace()]


@given(any_text, any_text)
def test_white_space_separates(before: str, after: str) -> None:
    assert words(f"{before} {after}") == words(before) + words(after)


# --- Schemes -----------------------------------------------------------------------------------


@st.composite
def sentences(draw: st.DrawFn) -> tuple[int, list[Span]]:
    """Length of a sentence and the entities in it, in order, also adjacent ones."""
    spans: list[Span] = []
    position = 0
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)))):
        spans.append((position + gap, position + gap + length, draw(labels)))
        position += gap + length
    return position + draw(st.integers(0, 2)), spans


def write(length: int, spans: list[Span], scheme: str) -> list[str]:
    tags = ["O"] * length
    for number, (start, end, label) in enumerate(spans):
        touches = number > 0 and spans[number - 1][1:] == (start, label)
        first = "B" if scheme != "IOB1" or touches else "I"
        last = {"IOBES": "E", "BILOU": "L"}.get(scheme, "I")
        only = {"IOBES": "S", "BILOU": "U"}.get(scheme, first)
        prefixes = [only] if end - start == 1 else [first, *"I" * (end - start - 2), last]
        tags[start:end] = [f"{prefix}-{label}" for prefix in prefixes]
    return tags


@given(sentences(), st.sampled_from(["IOB1", "IOB2", "IOBES", "BILOU"]))
def test_every_scheme_keeps_its_entities(
    sentence: tuple[int, list[Span]], scheme: tagging.Scheme
) -> None:
    length, spans = sentence
    tags, illegal = tagging.to_iob2(write(length, spans, scheme), scheme)
    assert list(tags) == write(length, spans, "IOB2")
    assert illegal == []
    assert tagging.tags_to_spans(tags) == spans


@given(st.lists(sentences(), min_size=1), st.sampled_from(["IOB1", "IOB2", "IOBES", "BILOU"]))
def test_the_scheme_found_allows_everything(
    corpus: list[tuple[int, list[Span]]], scheme: tagging.Scheme
) -> None:
    written = [write(length, spans, scheme) for length, spans in corpus]
    found = tagging.detect_scheme(written)
    assert [tagging.to_iob2(tags, found)[1] for tags in written] == [[] for _ in written]
    if any(spans for _, spans in corpus):
        assert found == scheme


any_tags = st.lists(
    st.just("O") | st.builds("{}-{}".format, st.sampled_from("BIESLU"), st.sampled_from(["x", "y"]))
)


@given(any_tags, st.sampled_from(["IOB1", "IOB2", "IOBES", "BILOU"]))
def test_any_sequence_becomes_legal_iob2(tags: list[str], scheme: tagging.Scheme) -> None:
    converted, illegal = tagging.to_iob2(tags, scheme)
    assert [tag[2:] for tag in converted] == [tag[2:] for tag in tags]
    assert tagging.to_iob2(converted, "IOB2") == (converted, [])
    assert all(0 <= position < len(tags) for position in illegal)


@given(st.lists(st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"])))
def test_illegal_iob_is_read_as_conlleval_does(tags: list[str]) -> None:
    # seqeval's default mode is a port of conlleval; its ends are inclusive.
    expected = [(start, end + 1, label) for label, start, end in get_entities(tags)]
    assert tagging.tags_to_spans(tagging.to_iob2(tags, "IOB2")[0]) == expected
    assert tagging.tags_to_spans(tags) == expected


@pytest.mark.parametrize(
    ("tags", "scheme", "expected", "illegal"),
    [
        ("O I-x I-x", "IOB2", "O B-x I-x", [1]),
        ("B-x I-y", "IOB2", "B-x B-y", [1]),
        ("O B-x B-x", "IOB1", "O B-x B-x", [1]),
        ("I-x B-x I-y", "IOB1", "B-x B-x B-y", []),
        ("B-x O E-x", "IOBES", "B-x O B-x", [0, 2]),
        ("B-x I-x", "IOBES", "B-x I-x", [1]),
        ("S-x E-x", "IOBES", "B-x B-x", [1]),
        ("B-x E-x I-x E-x", "IOBES", "B-x I-x B-x I-x", [2]),
        ("U-x L-x", "BILOU", "B-x B-x", [1]),
        ("", "IOB2", "", []),
    ],
)
def test_illegal_sequences(
    tags: str, scheme: tagging.Scheme, expected: str, illegal: list[int]
) -> None:
    assert tagging.to_iob2(tags.split(), scheme) == (tuple(expected.split()), illegal)


def test_the_scheme_is_that_of_the_majority() -> None:
    assert tagging.detect_scheme([["B-x", "O", "B-x"], ["I-x"]]) == "IOB2"
    assert tagging.detect_scheme([["I-x", "O", "I-x"], ["O", "B-x"]]) == "IOB1"
    assert tagging.detect_scheme([["B-x", "I-x"], ["S-x"]]) == "IOBES"
    assert tagging.detect_scheme([["B-x", "I-x"], ["U-x"]]) == "BILOU"
    assert tagging.detect_scheme([["O"], []]) == "IOB2"


@pytest.mark.parametrize("tag", ["O", "B-x", "I-a-b", "S-x y", "U-人"])
def test_tags(tag: str) -> None:
    assert tagging.is_tag(tag)


@pytest.mark.parametrize("tag", ["", "o", "x", "B", "B-", "b-x", "X-x", "B_x", "OO", "-x"])
def test_not_tags(tag: str) -> None:
    assert not tagging.is_tag(tag)


# --- Character spans ---------------------------------------------------------------------------


def test_entities_to_tags() -> None:
    text = "Anna Lee moved to 北京市."
    found = tagging.entities_to_tags(text, [(0, 8, "per"), (18, 20, "loc")])
    expected_words = ("Anna", "Lee", "moved", "to", "北", "京", "市", ".")
    assert found[0] == expected_words
    assert tuple(text[start:end] for start, end in found[1]) == expected_words
    assert found[2] == ("B-per", "I-per", "O", "O", "B-loc", "I-loc", "O", "O")
    assert found[3] == 0


@pytest.mark.parametrize(
    ("span", "tags", "widened"),
    [
        ((0, 3, "x"), "B-x O O", 1),
        ((1, 4, "x"), "B-x O O", 1),
        ((2, 7, "x"), "B-x I-x O", 1),
        ((4, 9, "x"), "O B-x O", 0),  # white space at its ends takes no word
        ((0, 12, "x"), "B-x I-x I-x", 0),
    ],
)
def test_spans_are_widened_to_words(span: Span, tags: str, widened: int) -> None:
    text = "abcd efgh ij"
    assert tagging.span_problems(text, [span]) == []
    assert tagging.entities_to_tags(text, [span])[2:] == (tuple(tags.split()), widened)


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(0, 99, "x")], "not inside the text of 12 characters"),
        ([(-1, 2, "x")], "not inside"),
        ([(3, 3, "x")], "not inside"),
        ([(5, 2, "x")], "not inside"),
        ([(4, 5, "x")], "covers only white space"),
        ([(0, 6, "x"), (5, 9, "y")], "overlap"),
        ([(0, 12, "x"), (5, 9, "y")], "overlap"),
        ([(0, 4, "x"), (0, 4, "x")], "overlap"),
        ([(2, 4, "x"), (0, 2, "y")], "lie in one word"),
        ([(0, 6, "x"), (8, 9, "y")], "lie in one word"),
    ],
)
def test_span_problems(spans: list[Span], message: str) -> None:
    problems = tagging.span_problems("abcd efgh ij", spans)
    assert len(problems) == 1
    assert message in problems[0]


offsets = st.integers(-1, 14)


@given(any_text, st.lists(st.tuples(offsets, offsets, labels), max_size=3))
def test_spans_without_problems_become_tags(text: str, spans: list[Span]) -> None:
    if tagging.span_problems(text, spans):
        return
    found, positions, tags, widened = tagging.entities_to_tags(text, spans)
    assert len(found) == len(positions) == len(tags)
    back = [
        (positions[first][0], positions[last - 1][1], label)
        for first, last, label in tagging.tags_to_spans(tags)
    ]
    assert len(back) == len(spans)
    changed = 0
    for (start, end, label), (from_start, from_end, from_label) in zip(
        back, sorted(spans), strict=True
    ):
        assert label == from_label
        visible = text[from_start:from_end].strip()
        assert visible in text[start:end]
        changed += text[start:end] != visible
    assert changed == widened
