"""Pages that follow from the code agree with it; commands that people copy are the ones that are checked."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from hmgdm_plugin.schema.evaluation import EvaluateSettings, RowSettings, YardstickSettings
from hmgdm_plugin.schema.nuclei import NucleiSourceSettings, NucleiTrainingSettings, StarDistSettings
from hmgdm_plugin.schema.parsing import parse
from hmgdm_plugin.schema.settings import (
    AutoencoderSettings,
    DiffusionSettings,
    GraphSettings,
    HeadSettings,
    HeadsSettings,
    PretrainSettings,
    Settings,
    SourceSettings,
    TrainingSettings,
)
from hmgdm_plugin.schema.studies import (
    ClassifySettings,
    FinetuneSettings,
    OutcomeSettings,
    RiskSettings,
    SurvivalSettings,
)

REPO = Path(__file__).resolve().parents[1]
README = (REPO / "README.md").read_text("utf-8")
PAGES = sorted([REPO / "README.md", *REPO.glob("docs/**/*.md")])


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """``docs/generate.py``."""
    spec = importlib.util.spec_from_file_location("generate", REPO / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["cli", "models"])
def test_generated_pages_are_up_to_date(generator: ModuleType, page: str) -> None:
    written = (REPO / "docs" / f"{page}.md").read_text("utf-8")
    assert written == getattr(generator, f"{page}_page")(), "run: python docs/generate.py"


def test_the_two_commands_stand_first_in_the_readme() -> None:
    blocks = re.findall(r"```bash\n(.*?)\n```", README, re.DOTALL)
    assert blocks[0] == (
        "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e . && .venv/bin/hmgdm demo"
    )
    assert blocks[1] == '.venv/bin/pip install -c constraints.txt -e ".[dev]" && .venv/bin/pytest'


def test_ci_runs_the_readmes_test_command() -> None:
    ci = (REPO / ".ci" / "run").read_text("utf-8")
    pattern = re.search(r"grep -m 1 -E '(.*)' README\.md", ci)
    assert pattern is not None
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert found == ['.venv/bin/pip install -c constraints.txt -e ".[dev]" && .venv/bin/pytest']


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", path.read_text("utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_in_the_pages_exist(path: Path, generator: ModuleType) -> None:
    known = set(re.findall(r"^## hmgdm (.+)$", generator.cli_page(), re.MULTILINE))
    typed = re.findall(r"(?:bin/|`)hmgdm ((?:[a-z]+ ?)+)", path.read_text("utf-8"))
    for words in typed:
        assert words.split()[0] in known, f"hmgdm {words}"


def test_options_in_the_pages_exist(generator: ModuleType) -> None:
    known = set(re.findall(r"--[a-z-]+", generator.cli_page()))
    others = {"--index-url", "--no-index", "--find-links", "--nproc-per-node"}  # of pip and torchrun
    others |= {"--array", "--cpus-per-task", "--mem", "--signal"}  # of Slurm
    for path in PAGES:
        assert set(re.findall(r"(?<=[ `])--[a-z][a-z-]+", path.read_text("utf-8"))) <= known | others, path.name


@pytest.mark.parametrize(
    ("page", "kinds"),
    [
        (
            "pretrain",
            (PretrainSettings, SourceSettings, GraphSettings, AutoencoderSettings, DiffusionSettings, TrainingSettings),
        ),
        ("train", (HeadsSettings, HeadSettings)),
        ("classify", (ClassifySettings, FinetuneSettings)),
        ("survival", (SurvivalSettings, OutcomeSettings, RiskSettings)),
        ("evaluate", (EvaluateSettings, RowSettings, YardstickSettings)),
        ("nuclei-model", (NucleiTrainingSettings, NucleiSourceSettings, StarDistSettings)),
    ],
)
def test_the_example_is_valid_and_every_setting_is_explained(page: str, kinds: tuple[type[Settings], ...]) -> None:
    text = (REPO / "docs" / f"{page}.md").read_text("utf-8")
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    parse(tomllib.loads(example[1]), kinds[0], page)
    keys = {key for kind in kinds for key in kind.model_fields}
    assert {key for key in keys if not re.search(rf"(`|\[|^){key}(`|\]| =)", text, re.MULTILINE)} == set()


def test_defaults_in_the_table_of_pretrain_are_the_defaults() -> None:
    text = (REPO / "docs" / "pretrain.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", text, re.MULTILINE)
    defaults = {**DiffusionSettings().model_dump(), **GraphSettings().model_dump()}
    assert len(rows) > 10
    assert {key: float(value) for key, value in rows} == {key: float(defaults[key]) for key, _ in rows}


def test_tests_named_in_the_pages_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text("utf-8"))}
    found = {
        name
        for path in (REPO / "tests").rglob("*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.M)
    }
    assert {f"test_{number:02}" for number in range(1, 23)} <= {name[:7] for name in named}
    assert not named - found
