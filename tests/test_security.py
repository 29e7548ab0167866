"""Nothing that is read can run code or lead elsewhere, and nothing written holds a credential."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from safetensors.torch import load_file, save_file
from small_runs import RECIPES, call_recipe, flags, text_rows, write_jsonl

from lowcost_ft.commands.main import main
from lowcost_ft.config.run import RunConfig, parse_config
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import build_model
from lowcost_ft.models.safety import is_plain_name, shard_names
from lowcost_ft.models.tokenizers import load_tokenizer
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.tasks.loading import load_splits

PICKLES = ("pytorch_model.bin", "adapter_model.bin", "model.pt", "model.pkl", "model.ckpt")


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.sprung),))


@pytest.fixture
def trap(tmp_path: Path) -> Any:
    """`trap(path)` puts a pickle there; none of them may have been read when the test ends."""
    sprung = tmp_path / "code was run"

    def plant(path: Path) -> None:
        path.write_bytes(pickle.dumps(Trap(sprung)))

    plant(tmp_path / "proof")
    pickle.loads((tmp_path / "proof").read_bytes())
    assert sprung.exists(), "the trap works"
    sprung.rmdir()
    yield plant
    assert not sprung.exists()


@pytest.fixture
def model(tiny_model: Callable[[str], str], tmp_path: Path) -> Path:
    """A model folder of one's own."""
    return Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))


@pytest.fixture
def run(trained_run: Callable[..., Path], tmp_path: Path) -> Path:
    """A run folder of one's own."""
    return Path(shutil.copytree(trained_run("single", "bert"), tmp_path / "run"))


def build(folder: Path, **settings: Any) -> Any:
    return build_model(str(folder), head="sequence", labels=["a", "b"], **settings).model


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


# --- Pickles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICKLES)
def test_pickled_weights_are_not_read(model: Path, trap: Any, name: str) -> None:
    trap(model / name)
    build(model)  # There are safetensors beside it, as in many models.
    load_tokenizer(str(model))
    (model / "model.safetensors").unlink()
    with pytest.raises(UserError, match=f"only pickled weights \\({name}\\)"):
        build(model)


def test_an_index_of_pickles_is_refused(model: Path, trap: Any) -> None:
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    save_file({"other": next(iter(weights.values()))}, model / "other.safetensors")
    shard = "pytorch_model-00001-of-00001.bin"
    trap(model / shard)
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, shard)}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    for quantization in ("none", "8bit"):
        with pytest.raises(UserError, match=f"{shard}.*run code"):
            build(model, quantization=quantization)


def test_an_explicit_name_of_weights_may_not_be_a_pickle(model: Path, trap: Any) -> None:
    trap(model / "weights.bin")
    change(model / "config.json", transformers_weights="weights.bin")
    with pytest.raises(UserError, match=r"weights\.bin"):
        build(model)


def test_an_adapter_beside_the_base_model_is_refused(model: Path, trap: Any) -> None:
    trap(model / "adapter_model.bin")
    (model / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "elsewhere"})
    )
    with pytest.raises(UserError, match="holds an adapter"):
        build(model)


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("beside", [True, False])
def test_a_run_folder_with_a_pickle_is_refused(
    run: Path, trap: Any, capfd: pytest.CaptureFixture[str], name: str, beside: bool
) -> None:
    trap(run / name)
    if not beside:
        (run / "adapter_model.safetensors").unlink()
    file = write_jsonl(run / "test.jsonl", text_rows(3))
    for command, *arguments in (("predict", "--text", "hello"), ("evaluate", "--test-file", file)):
        assert main([command, str(run), *arguments]) == 2
        message = f"holds {name}, a pickle" if beside else "lacks adapter_model.safetensors"
        assert message in capfd.readouterr().err


def test_data_are_never_unpickled(tmp_path: Path, trap: Any) -> None:
    for name in ("a.pkl", "a.pt", "a.bin", "a.parquet", "a.csv", "a.jsonl"):
        trap(tmp_path / name)
        with pytest.raises(UserError):
            load_splits("classification", train_file=str(tmp_path / name))
    saved = tmp_path / "saved"
    datasets.Dataset.from_list(text_rows(30)).save_to_disk(saved)
    trap(saved / "data.pkl")
    assert load_splits("classification", dataset=str(saved)).train


# --- Code that comes with a model -----------------------------------------------------------------


@pytest.fixture
def code(model: Path, tmp_path: Path) -> Any:
    """Puts code into the model folder; it may not have run when the test ends."""
    sprung = tmp_path / "code was run"
    (model / "modeling.py").write_text(
        f"import os\nos.mkdir({str(sprung)!r})\n"
        "from transformers import BertConfig as Config, BertForSequenceClassification as Model\n"
        "from transformers import BertTokenizer as Words\n"
    )
    yield model
    assert not sprung.exists()


def test_a_models_own_code_does_not_run(code: Path, capfd: pytest.CaptureFixture[str]) -> None:
    classes = {
        "AutoConfig": "modeling.Config",
        "AutoModelForSequenceClassification": "modeling.Model",
    }
    change(code / "config.json", auto_map=classes)
    change(code / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "modeling.Words"]})
    build(code)  # transformers has a class of its own for it.
    load_tokenizer(str(code))
    change(code / "config.json", model_type="a-new-one", architectures=["Model"])
    with pytest.raises(UserError, match=r"Python code of its own.*--trust-remote-code"):
        build(code)
    assert call_recipe("lora_classification", *flags(model_id=code, output_dir=code / "out")) == 2
    assert "--trust-remote-code" in capfd.readouterr().err


def test_a_run_folder_cannot_ask_for_its_code_to_run(run: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "code was run"
    (run / "words.py").write_text(f"import os\nos.mkdir({str(sprung)!r})\n")
    change(run / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "words.Words"]})
    record = json.loads((run / "run.json").read_text("utf-8"))
    record["config"]["trust_remote_code"] = True
    (run / "run.json").write_text(json.dumps(record))
    load_predictor(run)(["hello"])
    assert not sprung.exists()


def test_every_recipe_leaves_remote_code_off() -> None:
    assert RunConfig().trust_remote_code is False
    assert parse_config(RunConfig(), []).trust_remote_code is False
    for recipe in RECIPES.glob("*.py"):
        assert "trust_remote_code=True" not in recipe.read_text("utf-8")


# --- Ways out of a folder -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "x.bin"]
)
def test_an_index_cannot_leave_its_folder(model: Path, name: str) -> None:
    names = load_file(model / "model.safetensors")
    (model / "model.safetensors").rename(model / "model-1.safetensors")
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, name)}))
    with pytest.raises(UserError, match=r"which is not a \.safetensors file beside it"):
        build(model)
    whole = {"metadata": {}, "weight_map": dict.fromkeys(names, "model-1.safetensors")}
    index.write_text(json.dumps(whole))
    assert shard_names(index) == {"model-1.safetensors"}
    build(model)
    for broken in ("", "{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'):
        index.write_text(broken)
        with pytest.raises(UserError, match=r"model\.safetensors\.index\.json: "):
            build(model)


def test_plain_names() -> None:
    assert is_plain_name("model.safetensors")
    for name in ("", ".", "..", "a/b", "/a", "../a", None, 3):
        assert not is_plain_name(name)


def test_explicit_weights_cannot_leave_their_folder(model: Path, tmp_path: Path) -> None:
    shutil.copy(model / "model.safetensors", tmp_path)
    change(model / "config.json", transformers_weights="../model.safetensors")
    with pytest.raises(UserError, match="inside the model directory"):
        build(model)


@pytest.mark.parametrize("key", ["vocab_file", "tokenizer_file", "special_tokens_map_file"])
def test_a_tokenizer_reads_no_file_elsewhere(model: Path, tmp_path: Path, key: str) -> None:
    private = tmp_path / "private.txt"
    private.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nprivateword\n")
    change(model / "tokenizer_config.json", **{key: str(private)})
    assert "privateword" not in load_tokenizer(str(model)).get_vocab()
    (model / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="has an empty vocabulary"):
        load_tokenizer(str(model))


def test_an_adapter_may_name_only_the_recorded_base_model(run: Path, model: Path) -> None:
    change(run / "adapter_config.json", base_model_name_or_path=str(model))
    with pytest.raises(UserError, match=r"adapter_config\.json names the base model .*model"):
        load_predictor(run)
    change(run / "run.json", model_id=str(model))  # Moved, and said so in both places.
    load_predictor(run)(["hello"])
    (run / "adapter_config.json").write_text("{")
    with pytest.raises(UserError, match=r"adapter_config\.json: is damaged"):
        load_predictor(run)


def test_a_saved_dataset_cannot_leave_its_folder(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_list(text_rows(30))
    rows.save_to_disk(tmp_path / "private")
    datasets.DatasetDict({"train": rows}).save_to_disk(tmp_path / "saved")
    splits = tmp_path / "saved" / "dataset_dict.json"
    whole = splits.read_text("utf-8")
    for name in ("../private", str(tmp_path / "private"), ".."):
        splits.write_text(json.dumps({"splits": [name]}))
        with pytest.raises(UserError, match="which lies outside of it"):
            load_splits("classification", dataset=str(tmp_path / "saved"))
    splits.write_text(whole)
    state = tmp_path / "saved" / "train" / "state.json"
    (file,) = json.loads(state.read_text("utf-8"))["_data_files"]
    change(state, _data_files=[{"filename": f"../../private/{file['filename']}"}])
    with pytest.raises(UserError, match="which lies outside of it"):
        load_splits("classification", dataset=str(tmp_path / "saved"))


# --- Credentials ----------------------------------------------------------------------------------


def test_credentials_are_written_nowhere(
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    secrets = {
        "HF_TOKEN": "hf_" + "a1B2" * 9,
        "WANDB_API_KEY": "0f1e2d3c4b5a69788796a5b4c3d2e1f001234567",
        "MLFLOW_TRACKING_PASSWORD": "correct horse battery",
    }
    for name, secret in secrets.items():
        monkeypatch.setenv(name, secret)
    # Where a user might type one: in a path, which the run records, prints and puts into its card.
    folder = tmp_path / secrets["WANDB_API_KEY"] / secrets["MLFLOW_TRACKING_PASSWORD"]
    folder.mkdir(parents=True)
    values: dict[str, Any] = {"train_file": write_jsonl(folder / "train.jsonl", text_rows(60))}
    values |= {"model_id": model, "max_steps": 1, "output_dir": tmp_path / "run"}
    values |= {"test_file": values["train_file"], "report_to": "tensorboard"}
    monkeypatch.setattr("sys.argv", ["recipe.py", *flags(**values)])
    assert call_recipe("lora_classification", *flags(**values | {"train_file": "missing"})) == 2
    assert call_recipe("lora_classification", *flags(**values)) == 0
    printed = capfd.readouterr()
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {"run.json", "README.md"} <= {path.name for path in written}
    for secret in secrets.values():
        assert secret not in printed.out + printed.err
        for path in written:
            assert secret.encode() not in path.read_bytes(), path
