"""Files -> rows. Whatever is wrong with a file is said with its name and line."""

import dataclasses
import os

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.column_files import read_columns
from lowcost_ft.data.csv_files import read_csv, without_empty
from lowcost_ft.data.decoding import binary_fault, decode
from lowcost_ft.data.exports.brat import is_brat, read_brat
from lowcost_ft.data.exports.docbin import is_docbin, read_docbin
from lowcost_ft.data.exports.reading import EXPORTS, read_export
from lowcost_ft.data.file_kinds import EXTENSIONS, FORMATS, extension_of, format_of
from lowcost_ft.data.json_files import is_json_list, read_json, read_json_lines
from lowcost_ft.data.parallel_files import exchanged, pair_lines, parallel_paths
from lowcost_ft.data.rows import Row
from lowcost_ft.data.semeval_files import read_semeval
from lowcost_ft.data.sentence_pairs import read_sentence_pairs
from lowcost_ft.data.tables import read_dataset, read_parquet
from lowcost_ft.data.text_lines import read_fasttext, read_texts
from lowcost_ft.data.tmx_files import is_tmx, read_tmx
from lowcost_ft.data.word_rows import join_words

__all__ = ["Row", "read_dataset", "read_lines", "read_rows"]

_OTHER_KINDS = {
    **dict.fromkeys(
        (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"),
        "a spreadsheet; export it as CSV (in Excel: CSV UTF-8) and give that",
    ),
    **dict.fromkeys(
        (".docx", ".doc", ".odt", ".rtf", ".pdf"),
        "a document; put its texts into a table, export that as CSV and give it",
    ),
    **dict.fromkeys(
        (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar"),
        "compressed; unpack it and give what is inside",
    ),
    **dict.fromkeys(
        (".pkl", ".pickle", ".pt", ".pth", ".bin", ".npy", ".joblib"),
        "a file that can run code when it is read; write its rows as JSONL or Parquet",
    ),
}
_PARQUET = b"PAR1"
_TABLES = ("conll", "csv", "tsv", "text")
"""What a table of pairs of sentences without a header is taken for, by its extension."""


def read_rows(
    path: str,
    problems: list[str],
    notices: list[str],
    reading: ReadingOptions | None = None,
    *,
    usual: ReadingOptions | None = None,
    labelled: bool = True,
    words: bool = False,
) -> list[Row]:
    """All rows of a file, whose content tells what it is, and else its extension.

    Args:
        path: JSON (an object a line, one list of them, or a table as pandas writes it), CSV, TSV,
            Parquet, TMX, columns with one word a line, fastText lines, or, without labels, one text
            a line. "train.en,train.fr" names two files whose lines belong together.
        problems: Gets a line for each problem: file, line, what is wrong, how to mend it.
        notices: Gets a line for whatever is left out on purpose, and for what the file was taken
            for where its extension does not say that.
        reading: How the file is read; None: all is guessed.
        usual: How the model's training data was read: a guess that comes first.
        labelled: Whether the file must hold labels.
        words: Whether sentences are wanted, as for NER: lines or rows of one word each are joined
            to them, and are texts otherwise.

    Returns:
        The rows that could be read, in the file's order; sentences with one word a line or row as
        `{"tokens": [...], "tags": [...]}`.
    """
    before = len(problems)
    reading, usual = reading or ReadingOptions(), usual or ReadingOptions()
    extension = extension_of(path)
    if (both := parallel_paths(path)) is not None:
        return _read_parallel(path, both, reading, labelled, problems, notices)
    if os.path.isdir(path) and (reading.format == "brat" or is_brat(path, labelled=labelled)):
        rows = read_brat(path, reading, labelled=labelled, problems=problems, notices=notices)
        if not rows and len(problems) == before:
            problems.append(
                f"{path}: holds no texts with annotations; add some .txt and .ann files"
            )
        return rows
    if not _is_readable_file(path, problems):
        return []
    if reading.format == "brat":
        problems.append(
            f"{path}: is a file, and brat's format is a folder of .txt with .ann beside it; give "
            "the folder, or leave --format out"
        )
        return []
    if extension in _OTHER_KINDS:
        problems.append(f"{path}: {extension} is {_OTHER_KINDS[extension]}")
        return []
    if is_docbin(path):
        rows = read_docbin(path, problems)
        if len(problems) == before:
            rows = read_export(rows, reading, labelled=labelled, problems=problems, notices=notices)
        return rows
    if reading.format == "tmx" or (reading.format == "auto" and is_tmx(path)):
        if extension != ".tmx" and reading.format == "auto":
            notices.append(_taken_for(path, "tmx"))
        rows = read_tmx(path, problems, notices)
        if not rows and len(problems) == before:
            problems.append(f"{path}: holds no translation units (tu); give another file")
        return rows
    kind, text = _kind_and_text(path, reading, usual, labelled, words, problems, notices)
    if kind is None:
        return []
    if not reading.csv_quotes and kind not in ("csv", "tsv"):
        notices.append(f"{path}: --no-csv-quotes is for CSV and TSV, not for {FORMATS[kind]}")
    if reading.discontinuous is not None:
        notices.append(
            f"{path}: --discontinuous {reading.discontinuous} changes nothing: it is for folders "
            "of brat's"
        )
    numbers = [name for name in _columns(reading, usual) if name.isdecimal()]
    found = None
    if kind in _TABLES and reading.format == "auto" and not numbers:
        found = read_sentence_pairs(path, text, notices)
    if found is not None:
        rows = found
    elif kind == "parquet":
        rows = read_parquet(path, problems)
    elif kind == "conll":
        rows = read_columns(path, text, problems, notices, reading, usual=usual, labelled=labelled)
    elif kind in ("csv", "tsv"):
        rows = read_csv(
            path,
            text,
            "\t" if kind == "tsv" else None,
            problems,
            notices,
            quotes=reading.csv_quotes,
            label_column=(reading.label_column or usual.label_column) if labelled else None,
            numbers=numbers,
        )
    elif kind == "fasttext":
        rows = read_fasttext(path, text)
    elif kind == "semeval":
        rows = read_semeval(path, text, problems)
    elif kind == "text":
        rows = read_texts(path, text)
    elif kind == "json" or is_json_list(text):
        rows = read_json(path, text, problems, notices)
    else:
        rows = read_json_lines(path, text, problems, notices)
    if len(problems) == before:
        rows = read_export(rows, reading, labelled=labelled, problems=problems, notices=notices)
    if words and rows and len(problems) == before:
        rows = join_words(rows, reading, usual, problems, notices)
    if kind in ("csv", "tsv"):
        rows = without_empty(path, rows, notices)
    if not rows and len(problems) == before:
        problems.append(f"{path}: holds no rows; add some or give another file")
    return rows


def _read_parallel(
    path: str,
    paths: tuple[str, str],
    reading: ReadingOptions,
    labelled: bool,
    problems: list[str],
    notices: list[str],
) -> list[Row]:
    """Rows of two files with one text a line, given as one path with a comma."""
    before = len(problems)
    if reading.format not in ("auto", "text"):
        problems.append(
            f"{path}: names two files, which hold one text a line each; leave --format out, or "
            "give one file"
        )
        return []
    if not all([_is_readable_file(one, problems) for one in paths]):
        return []
    if fault := exchanged(paths, reading.source_language, reading.target_language):
        problems.append(fault)
        return []
    texts = [_decode_file(one, problems) for one in paths]
    found = [text for text in texts if text is not None]
    rows = [] if len(found) < 2 else pair_lines(paths, found, problems, notices)
    if not rows and len(problems) == before:
        problems.append(f"{path}: the files hold no lines with text; give others")
    return rows


def _columns(reading: ReadingOptions, usual: ReadingOptions) -> list[str]:
    """Columns that the user chose, or training used, by name or number."""
    fields = [field.name for field in dataclasses.fields(reading) if "_column" in field.name]
    chosen = (getattr(reading, name) or getattr(usual, name) for name in fields)
    return [name for name in chosen if name is not None]


def _kind_and_text(
    path: str,
    reading: ReadingOptions,
    usual: ReadingOptions,
    labelled: bool,
    words: bool,
    problems: list[str],
    notices: list[str],
) -> tuple[str | None, str]:
    """What a file is and its text; None and a problem where it cannot be read."""
    with open(path, "rb") as file:
        is_parquet = file.read(len(_PARQUET)) == _PARQUET
    given, expected = reading.format, EXTENSIONS.get(extension_of(path))
    if given in EXPORTS:
        given = "auto"
    if given == "parquet" or (given == "auto" and (is_parquet or expected == "parquet")):
        if given == "auto" and expected != "parquet":
            notices.append(_taken_for(path, "parquet"))
        return "parquet", ""
    if (text := _decode_file(path, problems)) is None:
        return None, ""
    if given != "auto":
        kind: str | None = given
    else:
        asked = [reading.text_column, usual.text_column, reading.label_column, usual.label_column]
        kind, surprising = format_of(
            path, text, labelled=labelled, words=words, asked=[name for name in asked if name]
        )
        if kind is None:
            known = ", ".join(EXTENSIONS)
            if extension_of(path) == ".ann":
                problems.append(
                    f"{path}: is the half of a text of brat's that holds its entities; give the "
                    "folder with its .ann and .txt files"
                )
                return None, ""
            problems.append(
                f"{path}: unknown kind of file {extension_of(path) or '(no extension)'}; say with "
                f"--format what it is, or rename it to one of {known}"
            )
        elif surprising and not (kind == "text" and labelled):
            notices.append(_taken_for(path, kind))
    if kind == "text" and labelled:
        problems.append(
            f"{path}: holds one text a line, without labels; give a table with a column for the "
            f"texts and one for the labels (CSV, JSONL), or one word and its tag a line"
        )
        return None, ""
    return kind, text


def _taken_for(path: str, kind: str) -> str:
    return f"{path}: read as {FORMATS[kind]}, by its content (--format overrides)"


def _is_readable_file(path: str, problems: list[str]) -> bool:
    if os.path.isdir(path):
        problems.append(
            f"{path}: is a folder, not a file; give a file in it, a folder of brat's (.txt with "
            f".ann), or --dataset for a folder written by datasets.save_to_disk"
        )
    elif not os.path.exists(path):
        problems.append(f"{path}: no such file; check the path")
    else:
        try:
            with open(path, "rb") as file:
                if file.read(1):
                    return True
            problems.append(f"{path}: the file is empty; give one with rows")
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror}); check its permissions")
    return False


def read_lines(name: str, data: bytes, problems: list[str]) -> list[Row]:
    """Rows `{"text": ...}` of texts that come one a line, blank lines among them.

    Args:
        name: What to call the source in messages, such as "standard input".
        data: The bytes.
        problems: Gets a line for each problem.
    """
    text = decode(name, data, problems)
    return [] if text is None else read_texts(name, text)


def _decode_file(path: str, problems: list[str]) -> str | None:
    with open(path, "rb") as file:
        data = file.read()
    if fault := binary_fault(data):
        problems.append(f"{path}: {fault}")
        return None
    return decode(path, data, problems)
