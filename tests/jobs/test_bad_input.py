"""Bad input ends in one line on standard error and exit status 2, and nothing is written."""

import contextlib
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.cli import main

Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parent.parent.parent
GOOD = json.dumps({"query": "heart pain", "document": "Pain of the heart."})


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from jobs.cli import main; main()", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def run_here(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Call `run` in this process, without a Ray of its own: a process takes seconds to start."""
    monkeypatch.setattr("jobs.session.ray_session", lambda _: contextlib.nullcontext())
    monkeypatch.setattr("jobs.session.exit_on_signals", lambda: None)
    caplog.set_level(logging.INFO, logger="medembed")  # as a job sets it; the level comes back

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        caplog.clear()
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        printed = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return subprocess.CompletedProcess(
            arguments, caught.value.code, printed.out, caplog.text + printed.err
        )

    return run


def check(done: subprocess.CompletedProcess[str], message: str, output: Path) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert "Traceback" not in done.stderr
    assert "SECRET" not in done.stderr + done.stdout
    assert not output.exists()


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        (None, (), "pairs.jsonl: no such file"),
        (
            GOOD + "\n" + json.dumps({"query": "SECRET", "document": 3}),
            (),
            "pairs.jsonl:2: 'document' is a number",
        ),
        (
            json.dumps({"speech": "SECRET", "noise": "SECRET"}),
            (),
            "columns speech, noise fit no shape",
        ),
        (
            GOOD,
            ("source.formt=pairs",),
            "source.formt: unknown key; the nearest known key is 'source.format'",
        ),
        (GOOD, ("splits.dev=0.6", "splits.test=0.6"), "dev + test is 1.2"),
    ],
)
def test_bad_rows_files_and_keys(
    run_here: Run, tmp_path: Path, content: str | None, more: tuple[str, ...], message: str
):
    if content is not None:
        (tmp_path / "pairs.jsonl").write_text(content)
    output = tmp_path / "out"
    check(
        run_here("prepare", f"source.path={tmp_path}/pairs.jsonl", f"output={output}", *more),
        message,
        output,
    )


def test_a_bad_row_ends_a_command_in_one_line_that_does_not_quote_it(tmp_path: Path):
    (tmp_path / "pairs.jsonl").write_text(GOOD + '\n{"query": "SECRET')
    done = run("prepare", f"source.path={tmp_path}/pairs.jsonl", f"output={tmp_path}/out")
    check(done, "pairs.jsonl:2: not valid JSON", tmp_path / "out")


def test_a_local_path_given_to_a_cluster_is_refused_before_submission(
    run_here: Run, tmp_path: Path
):
    (tmp_path / "pairs.jsonl").write_text(GOOD)
    arguments = (
        f"source.path={tmp_path}/pairs.jsonl",
        "output=s3://b/o",
        "--address",
        "http://127.0.0.1:9",
    )
    check(run_here("prepare", *arguments), "source.path: found local input", tmp_path / "out")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_dimension_above_the_models_is_refused(
    run_here: Run, pairs_file: Path, encoder_folder: Path, empty_registry: Path, tmp_path: Path
):
    output = tmp_path / "out"
    shutil.copytree(empty_registry, tmp_path / "ws")
    done = run_here(
        "finetune",
        f"source.path={pairs_file}",
        f"model={encoder_folder}",
        f"output={output}",
        "training.dimensions=[64,8]",
        "training.select_dimension=8",
        f"registry.workspace={tmp_path}/ws",
    )
    assert done.returncode == 2
    assert "found [64], but the model has 32" in done.stderr.splitlines()[-1]
    assert not (output / "models").exists()
    assert not (output / "summary.json").exists()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_model_with_pickle_weights_is_refused(
    run_here: Run, pairs_file: Path, encoder_folder: Path, tmp_path: Path
):
    model, output = shutil.copytree(encoder_folder, tmp_path / "m"), tmp_path / "t.lance"
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert (
        run_here("prepare", f"source.path={pairs_file}", f"output={tmp_path}/data").returncode == 0
    )
    check(
        run_here("encode", f"model={model}", f"data={tmp_path}/data", f"output={output}"),
        "pickle weights",
        output,
    )


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_port_in_use_is_found_out_before_training(run_here: Run, tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_here(
            "demo",
            f"output={tmp_path}/out",
            f"port={port}",
            f"registry.tracking_uri=sqlite:///{tmp_path}/m.db",
        )
    check(done, f"port {port} on 127.0.0.1: Address already in use", tmp_path / "out")
