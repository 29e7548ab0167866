"""The documentation: links lead somewhere, commands parse, examples are read, pages build."""

import ast
import importlib
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
import tyro
from markdown_it import MarkdownIt

import lowcost_ft
from lowcost_ft.commands import main as cli
from lowcost_ft.config.methods import METHODS
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.run import RunConfig, parse_config
from lowcost_ft.data.readers import read_rows
from lowcost_ft.planning.gpu_table import load_table
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.classification import examples as text_examples
from lowcost_ft.tasks.flags import grouped_flags
from lowcost_ft.tasks.ner import examples as ner_examples
from lowcost_ft.training.optimizer import default_learning_rate

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "recipes")]

READMES = ("README.md", "README.zh-CN.md")
SITE = sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "docs").glob("*.md"))
PAGES = [*READMES, "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", *SITE]
PROGRAMS = ("make", "python", "accelerate", "torchrun", "lowcost-ft", "pip", "source")


def tokens(page):
    return MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text("utf-8"))


def inline(page):
    return [child for token in tokens(page) for child in token.children or ()]


def anchors(page):
    """The anchors of a page's headings, as GitHub and MyST make them."""
    found = []
    parsed = tokens(page)
    for token, content in pairwise(parsed):
        if token.type == "heading_open":
            words = re.sub(r"[^\w\- ]", "", content.content.lower())
            found.append(words.replace(" ", "-"))
    return found


def blocks(page, language):
    return [t.content for t in tokens(page) if t.type == "fence" and t.info.strip() == language]


def commands(page):
    """Command lines in blocks of a page, and those that stand inside its text."""
    shown = blocks(page, "bash")
    shown += [token.content for token in tokens(page) if token.type == "code_block"]
    lines = "\n".join(shown).replace("\\\n", " ").splitlines()
    lines = [line.strip().removeprefix("$ ") for line in lines]
    lines += [child.content for child in inline(page) if child.type == "code_inline"]
    found = []
    for line in lines:
        words = line.split()
        is_command = len(words) > 1 and words[0] in PROGRAMS and "NAME" not in line
        if is_command and not re.match(r"[a-z-]+ [^\w/-]", line):
            found.append(line)
    return found


def arguments_of(line):
    """The words of a command line, without its comment and what the shell does with its files."""
    words = shlex.split(line, comments=True)
    for mark in ("<", ">", "|"):
        if mark in words:
            del words[words.index(mark) :]
    return words


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    for child in inline(page):
        if child.type != "link_open" or re.match("https?:", child.attrs["href"]):
            continue
        path, _, anchor = unquote(child.attrs["href"]).partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.is_file(), f"{page}: {child.attrs['href']}"
        if anchor:
            assert anchor in anchors(target.relative_to(ROOT)), f"{page}: {child.attrs['href']}"


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_files_that_pages_name_exist(page):
    for child in inline(page):
        pattern = r"(?:recipes|benchmarks|tests|docs|lowcost_ft)/[\w./-]+"
        if child.type == "code_inline" and re.fullmatch(pattern, child.content):
            cache_folder = child.content == "lowcost_ft/frozen_layers"
            assert cache_folder or (ROOT / child.content).exists(), f"{page}: {child.content}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_parse(page):
    for line in commands(page):
        try:
            parse(arguments_of(line))
        except (SystemExit, Exception) as error:
            if getattr(error, "code", None) == 0:  # --help
                continue
            raise AssertionError(f"{page}: {line}") from error


def parse(words):
    program, arguments = words[0], words[1:]
    if program == "accelerate":
        assert arguments[0] in ("config", "launch")
        if arguments[0] == "launch" and len(arguments) > 1:
            parse_script(arguments[1], arguments[2:])
    elif program == "torchrun":
        assert arguments[0] == "--nproc-per-node"
        parse_script(arguments[2], arguments[3:])
    elif words == ["python", "-m", "lowcost_ft"]:
        assert (ROOT / "lowcost_ft" / "__main__.py").is_file()
    elif program == "python":
        parse_script(arguments[0], arguments[1:])
    elif program == "lowcost-ft" and len(arguments) == 1:  # the name of a command, in a sentence
        assert arguments[0] in cli.COMMANDS
    elif program == "lowcost-ft":
        assert cli._parse(list(arguments)) is not None
    elif program == "make":
        parse_make(arguments)
    elif program == "pip":
        extra = re.fullmatch(r"lowcost_ft\[(\w+)\]", arguments[1])
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        assert extra[1] in project["optional-dependencies"]
    else:
        assert words == ["source", ".venv/bin/activate"]


def parse_script(path, arguments):
    file = ROOT / path
    assert file.is_file()
    if file.parent.name == "recipes":
        parse_config(importlib.import_module(file.stem).CONFIG, arguments)
        return
    options = getattr(importlib.import_module(file.stem), "Options", None)
    if options is not None:
        tyro.cli(options, args=arguments)
        return
    flags = [word for word in arguments if word.startswith("--")]
    assert all(f'"{flag}"' in file.read_text("utf-8") for flag in flags)


def parse_make(arguments):
    target, *settings = arguments
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for name in (target, *(word for word in settings if "=" not in word)):
        assert re.search(rf"^{re.escape(name)}:", makefile, re.MULTILINE)
    tests = "\n".join(file.read_text("utf-8") for file in (ROOT / "tests").glob("test_*.py"))
    for setting in settings:
        name, _, value = setting.partition("=")
        assert name in ("ARGS", "PYTHON", "V") or not _
        words = shlex.split(value)
        for word in words:
            assert not word.startswith("tests/") or (ROOT / word).is_file()
        if "-k" in words:
            chosen = words[words.index("-k") + 1]
            assert re.search(rf"def test_\w*{chosen.removeprefix('test_')}|{chosen}", tests)


@pytest.mark.parametrize("page", [*READMES, *SITE])
def test_flags_that_pages_name_exist(page):
    settings = [RunConfig, *(flags for flags, _ in cli.COMMANDS.values())]
    settings += [
        kind for use in cli.USES for g in grouped_flags(use).values() for kind in g.values()
    ]
    known = {field.name for one in settings for field in fields(one)}
    others = {"help", "kills", "suite", "data_dir", "nproc_per_node", "only", "seeds"}
    for child in inline(page):
        if child.type == "code_inline":
            for flag in re.findall(r"(?<![\w-])--(?!no-)([a-z][a-z0-9-]+)", child.content):
                name = flag.replace("-", "_")
                assert name in known | others, f"{page}: --{flag}"


def test_wrong_commands_would_be_found():
    for line in (
        "lowcost-ft predict runs/x --texts y",
        "python recipes/lora_ner.py --lora-rank 8",
        "python recipes/lora_ner.py --cache-frozen-layers",
        "python benchmarks/compare_speed.py --nothing",
        "python benchmarks/memory_accuracy.py --nothing",
        "make tests",
        "make test ARGS=tests/test_nothing.py",
    ):
        with pytest.raises((SystemExit, Exception)):
            parse(arguments_of(line))


def test_both_readmes_have_the_same_commands_and_code():
    english, chinese = READMES
    for language in ("bash", "python", "text"):
        assert blocks(english, language) == blocks(chinese, language)
    # ... and lead to the same pages.
    targets = [
        {child.attrs["href"] for child in inline(page) if child.type == "link_open"} - set(READMES)
        for page in READMES
    ]
    assert targets[0] == targets[1]


@pytest.mark.parametrize("page", [*READMES, *SITE])
def test_code_uses_public_names_only(page):
    for code in blocks(page, "python"):
        tree = ast.parse(code)
        assert all(name in lowcost_ft.__all__ for name in used_names(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (function := public(node.func)) is not None:
                signature = inspect.signature(function)
                signature.bind(*node.args, **{word.arg: word.value for word in node.keywords})


def used_names(tree):
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("lowcost_ft.")
            names += [one.name for one in node.names if node.module == "lowcost_ft"]
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "ft":
            names.append(node.attr)
    return names


def public(function):
    name = getattr(function, "attr", None) or getattr(function, "id", None)
    by_module = isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "ft"
    known = by_module or isinstance(function, ast.Name)
    return getattr(lowcost_ft, name) if known and name in lowcost_ft.__all__ else None


def test_the_api_page_has_all_public_names():
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    named = re.findall(r"^\.\. auto\w+:: lowcost_ft\.(\w+)", page, re.MULTILINE)
    assert sorted([*named, "__version__"]) == sorted(lowcost_ft.__all__)


def test_every_page_is_linked_from_the_index_and_the_readmes():
    names = {Path(page).name for page in SITE} - {"index.md"}
    index = {child.attrs["href"] for child in inline("docs/index.md") if child.type == "link_open"}
    assert names <= index
    for readme in READMES:
        linked = {c.attrs["href"] for c in inline(readme) if c.type == "link_open"}
        assert {f"docs/{name}" for name in names} <= linked
    tree = " ".join(blocks("docs/index.md", "{toctree}")).split()
    assert sorted(f"{name}.md" for name in tree if f"{name}.md" in names) == sorted(names)


def test_rows_on_the_page_of_formats_are_read(tmp_path):
    parts = [("jsonl", code) for code in blocks("docs/data-formats.md", "json")]
    for code in blocks("docs/data-formats.md", "text"):
        if not code.startswith("error:"):
            parts.append(("conll" if "\t" in code else "csv", code))
    assert len(parts) >= 14
    for number, (kind, code) in enumerate(parts):
        file = tmp_path / f"{number}.{kind}"
        file.write_text(code, "utf-8")
        problems, notices = [], []
        rows = read_rows(str(file), problems, notices)
        tagged = {"tokens", "entities"} & set(rows[0].values)
        module = ner_examples if tagged else text_examples
        read = module.read_examples(rows, ReadingOptions(), problems=problems, notices=notices)
        notices = [notice for notice in notices if "by its content" not in notice]
        assert (len(read), problems, notices) == (len(rows), [], [])


def test_numbers_of_the_readmes_are_those_of_the_tables():
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert f"one of {len(METHODS)} ways" in text
    models = {row["model"] for row in load_table()["rows"]}
    assert f"which of {len(models)} models" in text
    recipes = {f"recipes/{file.name}" for file in (ROOT / "recipes").glob("*.py")}
    for readme in READMES:
        code = {child.content for child in inline(readme) if child.type == "code_inline"}
        assert recipes <= code
        assert len((ROOT / readme).read_text("utf-8").splitlines()) < 230


def test_the_quickstart_is_one_of_the_recipe_as_it_is():
    record = json.loads((ROOT / "benchmarks" / "quickstart.json").read_text("utf-8"))
    assert record["status"] == "completed" and record["git"]["dirty"] is False
    config = importlib.import_module("lora_ner").CONFIG
    for name in ("method", "model_id", "batch_size", "seed"):
        assert record["config"][name] == getattr(config, name)
    rate = default_learning_rate(
        "lora", 384, post_norm=True, sequence_level=task_class("ner").sequence_level()
    )
    assert record["config"]["learning_rate"] == rate
    assert record["output_bias"][0] == max(record["output_bias"])  # Most words are O.
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"--num-train-epochs {record['config']['num_train_epochs']}) $(ARGS)" in makefile


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    for module in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(module, reason="needs the docs extra (make docs)")
    options = ("--quiet", "--fail-on-warning", "--nitpicky", "--fresh-env")
    command = [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for file in tmp_path.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|iframe)[^>]+src=\"([^\"]+)|<link[^>]+href=\"([^\"]+)",
            file.read_text("utf-8"),
        )
        assert not [one for pair in loaded for one in pair if re.match("(https?:)?//", one)]
    for file in tmp_path.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", file.read_text("utf-8"))
