"""spaCy's DocBin (.spacy) -> rows, with the `spacy` extra."""

from typing import Any

from lowcost_ft.data.rows import Row, shown

__all__ = ["is_docbin", "read_docbin"]

_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def is_docbin(path: str) -> bool:
    """Whether a file is one of spaCy's, by its name and the first bytes of what is in it."""
    with open(path, "rb") as file:
        return path.lower().endswith(".spacy") and file.read(2) in _ZLIB


def read_docbin(path: str, problems: list[str]) -> list[Row]:
    """Documents as rows `{"text", "ents", "cats", "spans"}`, as `Doc.to_json` names them.

    A document in which nobody has said of any word whether it is an entity has no `ents`; one in
    which that is known of some words only is a problem.

    Args:
        path: The file.
        problems: Gets a line where spaCy is missing, for a broken file, and for each document
            that is annotated in part.
    """
    try:
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab
    except ImportError:
        problems.append(
            f"{path}: spaCy's own files need spaCy; install it with pip install "
            f"'lowcost_ft[spacy]', or write the documents as JSONL"
        )
        return []
    try:
        documents = list(DocBin().from_disk(path).get_docs(Vocab()))
    except Exception as error:  # of any of the libraries that read it
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        problems.append(f"{path}: is a broken file of spaCy's ({shown(told)}); write it again")
        return []
    rows = []
    for number, document in enumerate(documents, 1):
        source = f"{path}:row {number}"
        values: dict[str, Any] = {"text": document.text}
        known = [token.ent_iob != 0 for token in document]
        if any(known) and not all(known):
            word = next(
                token for token, is_known in zip(document, known, strict=True) if not is_known
            )
            problems.append(
                f"{source}: of {known.count(False)} of its {len(known)} words, first "
                f"{shown(word.text)}, it is not known whether they are entities (a missing value "
                f"in spaCy); mark them as outside, or leave the document out"
            )
        elif any(known):
            values["ents"] = [
                {"start": span.start_char, "end": span.end_char, "label": span.label_}
                for span in document.ents
            ]
        if document.spans:
            values["spans"] = {
                name: [
                    {"start": span.start_char, "end": span.end_char, "label": span.label_}
                    for span in group
                ]
                for name, group in document.spans.items()
            }
        if document.cats:
            values["cats"] = dict(document.cats)
        rows.append(Row(values, source))
    return rows
