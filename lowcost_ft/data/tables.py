"""Parquet files and data sets of the `datasets` library -> rows."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowcost_ft.data.rows import Row, shown

if TYPE_CHECKING:
    import datasets

__all__ = ["dataset_rows", "read_dataset", "read_parquet"]

Decoder = Callable[[Any], Any]


_SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test",),
}


def _broken() -> tuple[type[Exception], ...]:
    """What pyarrow and `datasets` raise on files that are not what they seem."""
    import pyarrow

    known = (OSError, ValueError, LookupError, TypeError, AttributeError, MemoryError)
    arrow: type[Exception] = pyarrow.ArrowException
    return (arrow, *known)


def read_parquet(path: str, problems: list[str]) -> list[Row]:
    """Rows of a Parquet file; class numbers that `datasets` wrote come out as their names."""
    import pyarrow.parquet  # Here, since most files are text, and predicting needs it even less.

    try:
        # ParquetFile, because read_table takes folder names such as `a=b` for columns.
        with pyarrow.parquet.ParquetFile(path) as file:
            table = file.read()
        decoders = _parquet_decoders(table.schema)
        names = table.column_names
        if len(set(names)) < len(names):
            problems.append(f"{path}: two columns have the same name; rename one")
            return []
        columns = [table.column(name).to_pylist() for name in names]
    except _broken() as error:
        problems.append(f"{path}: broken Parquet file ({_first_line(error)}); write it again")
        return []
    rows = []
    for number in range(1, table.num_rows + 1):
        values = {name: column[number - 1] for name, column in zip(names, columns, strict=True)}
        rows.append(_decoded(Row(values, f"{path}:row {number}"), decoders, problems))
    return rows


def read_dataset(
    name: str, config_name: str | None, problems: list[str], notices: list[str]
) -> dict[str, list[Row]]:
    """Rows of a data set by split: "train", "validation" and "test", as far as it has them.

    Args:
        name: Folder written by `datasets.save_to_disk`, or name of a data set on the Hub.
        config_name: Configuration of a Hub data set.
        problems: Gets a line for each problem.
        notices: Gets a line for each split that is not read.

    Returns:
        Rows by split; class numbers come out as their names, and -1, which stands for an unknown
        class, as None.
    """
    loaded = _load(name, config_name, problems)
    if loaded is None:
        return {}
    by_name = loaded if isinstance(loaded, dict) else {"train": loaded}
    found: dict[str, list[Row]] = {}
    for split, names in _SPLIT_NAMES.items():
        present = [name for name in names if name in by_name]
        if len(present) > 1:
            listed = " and ".join(map(shown, present))
            problems.append(f"{name}: {listed} are both {split} splits; rename one")
        elif present:
            rows = dataset_rows(by_name[present[0]], f"{name}/{present[0]}", problems)
            if split == "test" and (column := _unlabelled(by_name[present[0]], rows)):
                notices.append(f"{name}: test split left out, all its {shown(column)} are unknown")
            elif not rows:
                problems.append(f"{name}: the split {shown(present[0])} holds no rows")
            else:
                found[split] = rows
    known = {name for names in _SPLIT_NAMES.values() for name in names}
    if unused := [split for split in by_name if split not in known]:
        notices.append(f"{name}: split(s) not used: {', '.join(map(shown, unused))}")
    if not any(split in by_name for split in _SPLIT_NAMES["train"]):
        listed = ", ".join(map(shown, by_name))
        problems.append(f'{name}: no split "train"; the splits are {listed}; rename one to train')
    return found


def _load(
    name: str, config_name: str | None, problems: list[str]
) -> "datasets.Dataset | datasets.DatasetDict | None":
    # Imported where it is needed: it takes a second, and most runs read files.
    import datasets

    if os.path.isfile(name):
        problems.append(f"--dataset {name} is a file; give it with --train-file")
        return None
    if os.path.isdir(name):
        if config_name is not None:
            problems.append(f"--dataset-config-name is for Hub data sets; {name} is a folder")
            return None
        if not any(
            os.path.exists(os.path.join(name, marker))
            for marker in ("dataset_dict.json", "state.json")
        ):
            problems.append(
                f"--dataset {name} is a folder that datasets.save_to_disk did not write; give "
                f"the files in it with --train-file, --validation-file and --test-file"
            )
            return None
        try:
            if outside := _name_outside(Path(name)):
                problems.append(
                    f"--dataset {name} names {shown(outside)}, which lies outside of it; write "
                    f"it again with datasets.save_to_disk"
                )
                return None
            loaded = datasets.load_from_disk(name)
            for part in loaded.values() if isinstance(loaded, dict) else [loaded]:
                # The file is mapped into memory as it is: wrong offsets in it end the process.
                part.data.table.validate(full=True)
            return loaded
        except _broken() as error:
            # An empty split is an IndexError in `datasets`.
            problems.append(
                f"--dataset {name} is a broken data set folder, or has a split without rows "
                f"({_first_line(error)}); write it again with datasets.save_to_disk"
            )
            return None
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        problems.append(f"--dataset {name}: no such folder; check the path")
        return None
    try:
        return datasets.load_dataset(name, config_name)
    except Exception as error:  # of any of the libraries between here and the network
        problems.append(
            f"--dataset {name} is not a folder here and could not be loaded from the Hub "
            f"({type(error).__name__}: {_first_line(error)}); check the name, "
            f"--dataset-config-name and the network"
        )
        return None


def _name_outside(folder: Path) -> str | None:
    """The first split or file that a saved data set names elsewhere than in its own folder."""
    parts, names = [folder], []
    if (folder / "dataset_dict.json").is_file():
        names = json.loads((folder / "dataset_dict.json").read_text("utf-8"))["splits"]
        parts = [folder / split for split in names if not _lies_elsewhere(split)]
    for part in parts:
        state = json.loads((part / "state.json").read_text("utf-8"))
        names += [file["filename"] for file in state["_data_files"]]
    return next((name for name in names if _lies_elsewhere(name)), None)


def _lies_elsewhere(name: str) -> bool:
    return name in ("", ".", "..") or Path(name).name != name


def dataset_rows(dataset: "datasets.Dataset", name: str, problems: list[str]) -> list[Row]:
    """Rows of one split; class numbers come out as their names."""
    decoders = _decoders(dataset.features)
    rows = dataset.with_format(None)
    return [
        _decoded(Row(dict(values), f"{name}:row {number}"), decoders, problems)
        for number, values in enumerate(rows, 1)
    ]


def _unlabelled(dataset: "datasets.Dataset", rows: list[Row]) -> str | None:
    """A class column without any class in it, as public test sets have it."""
    import datasets

    for column, feature in dataset.features.items():
        is_class = isinstance(feature, datasets.ClassLabel)
        if rows and is_class and all(row.values[column] is None for row in rows):
            return str(column)
    return None


def _parquet_decoders(schema: Any) -> dict[str, Decoder]:
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    import datasets

    return _decoders(datasets.Features.from_arrow_schema(schema))


def _decoders(features: "datasets.Features") -> dict[str, Decoder]:
    decoders = {}
    for column, feature in features.items():
        if (decoder := _decoder(feature)) is not None:
            decoders[column] = decoder
    return decoders


def _decoder(feature: Any) -> Decoder | None:
    """Turns class numbers into their names, also inside lists; None where there are none."""
    import datasets

    if isinstance(feature, datasets.ClassLabel):
        names = feature.names
        return lambda value: names[value] if value is not None and value >= 0 else None
    inner = getattr(feature, "feature", None)
    if inner is None or (decode := _decoder(inner)) is None:
        return None
    return lambda values: None if values is None else [decode(value) for value in values]


def _decoded(row: Row, decoders: dict[str, Decoder], problems: list[str]) -> Row:
    classless = {}
    for column, decode in decoders.items():
        given = row.values.get(column)
        try:
            row.values[column] = decode(row.values[column])
            if type(given) is int and row.values[column] is None:
                classless[column] = given
        except (LookupError, TypeError):
            problems.append(
                f"{row.source}: {shown(column)} is {shown(row.values[column])}, for which its "
                f"class names have no entry; correct the names or the numbers"
            )
    return replace(row, classless=classless) if classless else row


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
