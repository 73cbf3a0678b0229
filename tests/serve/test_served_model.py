"""A model is loaded with its table, described to clients, and gets its faster backend later."""

import logging
import math
from pathlib import Path

import numpy as np
import pytest

from medembed.codes import calibrate
from medembed.encoding import encoder as encoders
from medembed.encoding.codec import Codec
from medembed.encoding.commit import commit_table, write_fragment
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.model_files import CARD, save_card
from medembed.encoding.table import TableInfo
from medembed.errors import ConfigError, ModelError, StorageError
from medembed.lineage import CheckpointManifest, Origin, Source
from serve.config import ServeConfig
from serve.replica.served_model import ServedModel, choose_backend_later, read_training
from serve.resolve import resolve
from tests.serve.conftest import PROMPTS, load
from tests.tiny import make_encoder

DEV = {"step": 400, "score": 0.5, "ndcg@10/32": 0.5, "ndcg@10/8": math.nan}
TEXTS = ["heart pain", "skin rash", "brain"]


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("hf://acme/base@1", "hf://acme/base@1"),
        ("package://acme/model", "package://acme/model"),
        ("/srv/ward-7/model", None),
        ("s3://user:SECRET@bucket/model", None),
    ],
)
def test_a_card_names_the_parent_by_fingerprint_and_only_public_places(
    tmp_path: Path, reference: str, named: str | None
):
    origin = Origin(dataset=Source("d0"), parent=Source("f0", reference))
    save_card(tmp_path, CheckpointManifest(origin=origin, dev=DEV))
    expected = {"parent": "f0", "parent_model": named, "dataset": "d0", "dev": {"ndcg@10/32": 0.5}}
    assert read_training(tmp_path) == expected
    (tmp_path / CARD).unlink()
    assert read_training(tmp_path) is None


@pytest.mark.parametrize(
    ("keys", "error", "reason"),
    [
        ({}, ModelError, "found no int8/graph.json"),
        ({"gpus_per_replica": 1}, ConfigError, "precision int8 computes on CPUs"),
        ({"backend": "torch"}, ConfigError, "precision int8 is computed by OpenVINO"),
    ],
    ids=["no graph", "a GPU", "torch"],
)
def test_int8_is_refused_before_any_replica_starts(
    keys: dict[str, object], error: type[Exception], reason: str, encoder_folder: Path
):
    config = ServeConfig.model_validate({"model": str(encoder_folder), "precision": "int8", **keys})
    with pytest.raises(error, match=reason):
        resolve(config)


def test_prompts_roles_and_pooling_are_the_loaded_models(trained: ServedModel, stock: ServedModel):
    for model, prompts, has_roles in (
        (trained.model, PROMPTS, True),
        (stock.model, {"document": "", "query": ""}, False),
    ):
        assert model["prompts"] == prompts
        assert model["has_roles"] == has_roles
        assert model["pooling"] == ["mean"]


def test_an_int8_table_of_the_model_gives_its_ranges_and_another_models_is_refused(
    encoder_folder: Path, trained_folder: Path, tmp_path: Path
):
    import pyarrow as pa

    encoder = load(encoder_folder).encoder
    vectors = encoder.encode(TEXTS)
    ranges = calibrate(vectors)
    uri = str(tmp_path / "table")
    corpus = pa.table({"document_id": ["a", "b", "c"], "content_hash": ["1", "2", "3"]})
    fragment = write_fragment(uri, corpus, Codec(32, "int8", ranges).write(vectors))
    info = TableInfo(encoder.fingerprint, "d", 32, (), "", 48, "int8")
    commit_table(uri, [fragment], info, ranges=ranges)
    served = load(encoder_folder, table=uri)
    assert served.ranges is not None
    assert np.array_equal(served.ranges.low, ranges.low)
    assert served.model["int8_ranges"] == ranges.fingerprint
    with pytest.raises(StorageError, match="never compared"):
        load(trained_folder, table=uri)
    with pytest.raises(StorageError, match="no embedding table there"):
        load(encoder_folder, table=str(tmp_path / "none"))
    with pytest.raises(ModelError, match="no such folder"):
        load(tmp_path / "none")


def test_the_faster_backend_takes_over_while_the_model_answers_and_a_failure_changes_nothing(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    encoder = Encoder.load(str(encoder_folder), EncodingConfig(), settles_later=True)
    exact = encoder.encode(TEXTS)

    class Other(encoders.TorchBackend):
        name = "other"

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(encoders, "choose_backend", fail)
    with caplog.at_level(logging.WARNING):
        choose_backend_later(encoder).join(60)
    assert "MemoryError" in caplog.text
    np.testing.assert_array_equal(encoder.encode(TEXTS), exact)
    monkeypatch.setattr(encoders, "choose_backend", lambda model, config: Other(model))
    choose_backend_later(encoder).join(60)
    assert encoder.backend.name == "other"
    np.testing.assert_array_equal(encoder.encode(TEXTS), exact)


def test_what_a_checkpoint_was_trained_from_reaches_its_clients(tmp_path: Path):
    tuned = make_encoder(tmp_path / "tuned", prompts=PROMPTS)
    save_card(tuned, CheckpointManifest(origin=Origin(Source("d0"), parent=Source("f0"))))
    settings = resolve(ServeConfig(model=str(tuned)))
    assert settings.training == {"parent": "f0", "parent_model": None, "dataset": "d0", "dev": {}}
    assert load(tuned, training=settings.training).model["training"] == settings.training
