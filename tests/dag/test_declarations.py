"""dvc.yaml, params.yaml and the code agree: what a stage reads is what it declares, neither more nor less."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DAG = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
STAGES = DAG["stages"]
ORDER = ["fetch", "clean", "validate", "shard", "split", "base", "baseline", "train", "predict", "eval", "merge"]
# A report of one run, which no other run can repeat: kept out of dvc.lock, so that the lock tells of results alone.
VOLATILE = {"train": {"reports/train/run.json"}}


def module_path(name: str) -> Path | None:
    """The file of a module of the project, or None for others."""
    for candidate in (ROOT / f"{name.replace('.', '/')}.py", ROOT / name.replace(".", "/") / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imports_of(path: Path) -> set[Path]:
    """The project's own files that a file imports, wherever the import stands in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.startswith("stages") and (file := module_path(name)) and file.name != "__init__.py":
                found.add(file)
    return found


def closure(path: Path) -> set[Path]:
    """A file and all it imports within stages/, less what merely carries a stage."""
    seen, open_ = set(), [path]
    while open_:
        file = open_.pop()
        if file in seen or file.is_relative_to(ROOT / "stages/plumbing"):
            continue
        seen.add(file)
        open_ += imports_of(file)
    return seen


def beside(files: set[Path]) -> set[Path]:
    """Files other than Python's in stages/lib that a file of the set names, such as the page of the report."""
    others = [path for path in (ROOT / "stages").rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    return {path for path in others if any(path.name in file.read_text("utf-8") for file in files)}


def names(entries: list) -> set[str]:
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


def outs_of(stage: dict) -> set[str]:
    return names(stage.get("outs", []) + stage.get("metrics", []) + stage.get("plots", []))


def test_the_stages_are_those_of_the_design_in_order():
    assert list(STAGES) == ORDER


@pytest.mark.parametrize("name", ORDER)
def test_code_deps_are_exactly_what_the_stage_imports(name):
    declared = {dep for dep in names(STAGES[name]["deps"]) if dep.startswith("stages/")}
    files = closure(ROOT / f"stages/{name}.py")
    wanted = {str(path.relative_to(ROOT)) for path in files | beside(files)}
    assert declared == wanted


@pytest.mark.parametrize("name", ORDER)
def test_params_are_exactly_the_sections_that_the_stage_reads(name):
    tree = ast.parse((ROOT / f"stages/{name}.py").read_text("utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Params"]
    fields = [item.target.id for node in classes for item in node.body if isinstance(item, ast.AnnAssign)]
    assert STAGES[name].get("params", []) == fields == sorted(fields)


@pytest.mark.parametrize("name", ORDER)
def test_paths_on_the_command_line_are_exactly_those_declared(name):
    words = re.findall(r'"[^"]*"|\S+', STAGES[name]["cmd"])
    assert words[:3] == ["python", "-m", f"stages.{name}"]
    on_line = {word.strip('"') for word in words[3:] if not word.startswith("--")}
    data_deps = {dep for dep in names(STAGES[name]["deps"]) if not dep.startswith("stages/")}
    assert on_line - VOLATILE.get(name, set()) == data_deps | outs_of(STAGES[name])


@pytest.mark.parametrize("name", ORDER)
def test_desc_is_the_first_line_of_the_stage(name):
    docstring = ast.get_docstring(ast.parse((ROOT / f"stages/{name}.py").read_text("utf-8")))
    assert STAGES[name]["desc"] == docstring.splitlines()[0]
    assert STAGES[name]["desc"].startswith(f"{name.capitalize()}: ")


@pytest.mark.parametrize("name", ORDER)
def test_the_signature_of_main_is_the_command_line(name):
    tree = ast.parse((ROOT / f"stages/{name}.py").read_text("utf-8"))
    main = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    words = re.findall(r'"[^"]*"|\S+', STAGES[name]["cmd"])[3:]
    options = sum(word.startswith("--") for word in words)
    assert len(words) - options == len(main.args.args) + len(main.args.kwonlyargs)


def test_no_output_belongs_to_two_stages():
    outs = [out for stage in STAGES.values() for out in outs_of(stage)]
    assert len(outs) == len(set(outs)) > 20


def test_what_git_tracks_is_not_cached_and_what_dvc_caches_is_pushed():
    for stage in STAGES.values():
        for kind in ("outs", "metrics", "plots"):
            for entry in stage.get(kind, []):
                settings = {} if isinstance(entry, str) else next(iter(entry.values()))
                assert set(settings) <= {"cache"}, (
                    "no persist, no push: false: a plain `dvc pull` must bring everything"
                )


def test_the_artifacts_are_outputs():
    assert set(DAG["artifacts"]) == {"adapter", "merged"}
    outs = {out for stage in STAGES.values() for out in outs_of(stage)}
    for artifact in DAG["artifacts"].values():
        assert artifact["path"] in outs
        assert artifact["type"] == "model"


def test_params_are_the_local_recipe_in_this_repository(root):
    assert (root / "params.yaml").read_text("utf-8") == (root / "recipes/local.yaml").read_text("utf-8")
