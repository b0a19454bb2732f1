from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hmgdm_plugin import cli
from hmgdm_plugin.schema import options as kinds
from hmgdm_plugin.schema.errors import HmgdmError, InputError
from hmgdm_plugin.schema.events import Events

VERBS = {
    "demo": kinds.DemoOptions,
    "predict": kinds.PredictOptions,
    "explain": kinds.ExplainOptions,
    "embed": kinds.EmbedOptions,
    "pretrain": kinds.PretrainOptions,
}
Verb = Callable[[Any, Events], Mapping[str, Any]]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hmgdm_plugin.cli", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def _called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)


@pytest.fixture
def predict_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[Verb], None]:
    """Put a function in the place of the verb: what is tested is the command line around it."""

    def put(verb: Verb) -> None:
        module = types.ModuleType("hmgdm_plugin.predict")
        module.predict = verb  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "hmgdm_plugin.predict", module)

    return put


@pytest.fixture
def options_of(predict_with: Callable[[Verb], None]) -> Callable[..., Any]:
    """The options that reach the verb."""
    reached: list[Any] = []

    def verb(options: Any, events: Events) -> Mapping[str, Any]:
        reached.append(options)
        return {}

    def call(*arguments: str) -> Any:
        predict_with(verb)
        assert _called("predict", *arguments) == 0
        return reached[-1]

    return call


@pytest.mark.skipif(os.name == "nt", reason="processor time of children is not told on Windows")
def test_help_answers_in_half_a_second() -> None:
    """Processor time: a busy machine does not fail it."""
    times_s = []
    for _ in range(3):
        before = os.times()
        assert _run("--help").returncode == 0
        after = os.times()
        spent = (after.children_user - before.children_user, after.children_system - before.children_system)
        times_s.append(sum(spent))
    assert 0 < min(times_s) < 0.5


def test_nothing_typed_shows_the_help_and_is_a_wrong_call() -> None:
    done = _run()
    assert done.returncode == 2
    assert "predict" in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_verb_can_be_typed_and_no_other(verb: str) -> None:
    command = next(
        each.callback for each in cli.app.registered_commands if (each.name or each.callback.__name__) == verb
    )
    typed = set(command.__annotations__) - {"context", "events", "request", "return"}
    assert typed == set(VERBS[verb].model_fields)


def test_words_of_the_command_line_become_options(options_of: Callable[..., Any]) -> None:
    options = options_of(
        "a.svs", "b c.tif", "--mpp", "0.5", "--heads", "x", "--heads", "y", "--overwrite", "--workers", "2"
    )
    assert options.slides == (Path("a.svs"), Path("b c.tif"))
    assert (options.mpp, options.heads, options.overwrite, options.workers) == (0.5, ("x", "y"), True, 2)
    assert options == kinds.PredictOptions(
        slides=options.slides, mpp=0.5, heads=("x", "y"), overwrite=True, workers=2
    ), "what was not typed keeps its default"


def test_the_command_line_wins_over_the_request(options_of: Callable[..., Any], tmp_path: Path) -> None:
    request = tmp_path / "an Übung.json"
    content = json.dumps({"slides": ['C:\\a "b".svs'], "mpp": 0.25, "overwrite": True, "seed": 7})
    request.write_text(content, "utf-8-sig")  # as editors of Windows do
    options = options_of("--request", str(request), "--mpp", "0.5")
    assert options.slides == (Path('C:\\a "b".svs'),)
    assert (options.mpp, options.overwrite, options.seed) == (0.5, True, 7)


def test_a_verb_of_several_is_named_as_it_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert _called("batch", "run") == 2
    assert "batch run: no source given; see hmgdm batch run --help" in capsys.readouterr().err
    assert _called("batch", "plan", "slides", "--shard", "0/2") == 2
    assert "shard: '0/2' is no part of the slides" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"slide": ["a.svs"], "slides": ["a.svs"]}', "unknown key 'slide'; did you mean 'slides'?"),
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"slides": []}', "no slides given"),
    ],
)
def test_a_wrong_request_is_one_sentence(
    content: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = tmp_path / "r.json"
    request.write_text(content, "utf-8")
    assert _called("predict", "--request", str(request)) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [("predict",), ("predict", "a.svs", "--mpp", "big"), ("nope",), ("predict", "--nope")]
)
def test_a_wrong_call_ends_with_two_and_an_error_line(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _called(*arguments, "--events") == 2
    said = capsys.readouterr()
    assert said.err == ""
    assert sorted(json.loads(said.out)) == ["error", "fix"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--mpp", "nan"), "mpp: input should be a finite number"),
        (("--results-dir", ""), "is empty; give a folder"),
        (("--heads", "a", "--heads", "b", "--heads", "a"), "heads: names 'a' twice"),
        (("--request", "switch.json"), "mpp: should be a number, not true or false"),
    ],
)
def test_what_would_be_taken_for_something_else_is_refused(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "switch.json").write_text('{"mpp": true}', "utf-8")
    assert _called("predict", "a.svs", *arguments) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_a_model_that_is_not_there_is_a_wrong_call(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _called("models", verb, "no-such-model") == 2
    assert capsys.readouterr().err.startswith("hmgdm: no-such-model: no such model (there is: ")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (InputError("a.svs: no microns per pixel", "pass --mpp"), 2, "a.svs: no microns per pixel; pass --mpp"),
        (HmgdmError("1 slide failed", "see run.json"), 1, "1 slide failed; see run.json"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "out: cannot be written (the disk is full)"),
        (OSError(errno.EROFS, "Read-only file system"), 2, "out: cannot be written (the disk is read-only)"),
    ],
)
def test_errors_become_a_sentence_and_a_code(
    predict_with: Callable[[Verb], None],
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    sentence: str,
) -> None:
    def verb(options: Any, events: Events) -> Mapping[str, Any]:
        raise error

    predict_with(verb)
    assert _called("predict", "a.svs", "--results-dir", "out") == code
    said = capsys.readouterr().err
    assert said.startswith(f"hmgdm: {sentence}")
    assert _called("predict", "a.svs", "--results-dir", "out", "--events") == code
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert f"{last['error']}; {last['fix']}".startswith(sentence)


def test_an_unforeseen_error_keeps_its_traceback(
    predict_with: Callable[[Verb], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def verb(options: Any, events: Events) -> Mapping[str, Any]:
        raise ZeroDivisionError("by zero")

    predict_with(verb)
    with pytest.raises(ZeroDivisionError):
        cli.main(["predict", "a.svs", "--events"])
    assert json.loads(capsys.readouterr().out)["error"] == "unforeseen ZeroDivisionError: by zero"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "x" * 300, "--mpp", "0.5"], "too long"),
        (["predict", "a.png", "--results-dir", "y" * 300], "too long"),
        (["predict", "a.png", "--seed", str(10**23)], "seed"),
        (["predict", "a.png", "--request", "deep.json"], "not JSON"),
    ],
)
def test_names_and_numbers_beyond_all_bounds(arguments: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "hmgdm_plugin.cli", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
