"""Names that the user gives for numbers: as a list, or in a file."""

from pathlib import Path

import pytest

from lowcost_ft.data.label_names import read_label_names


def test_names_are_listed_or_stand_in_a_file(tmp_path: Path) -> None:
    problems: list[str] = []
    assert read_label_names("neg, pos", problems) == ["neg", "pos"]
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeffneg\r\nvery, very good\r\n\r\n".encode())
    assert read_label_names(str(file), problems) == ["neg", "very, very good"]
    assert problems == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("labels.txt", '"labels.txt" is one name; give all of them'),
        ("a,,b", "the name of 1 is empty"),
        ("a,b,a", '"a" occurs twice'),
        ("a,\ud800", "surrogate"),
    ],
)
def test_what_is_no_list_of_names_is_told(given: str, message: str) -> None:
    problems: list[str] = []
    assert read_label_names(given, problems) == []
    assert len(problems) == 1
    assert message in problems[0]
