from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medembed.encoding import agreement
from medembed.encoding.agreement import check_agreement
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.form import Form
from medembed.errors import ModelError
from tests.kinds import KINDS, save_kind

CONFIG = EncodingConfig()


@pytest.fixture(autouse=True)
def nothing_agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "_agreed", set())


@pytest.mark.parametrize(
    ("kind", "setting"), [("pooling mean without the prompt", "prompt_length"), ("router", "task")]
)
def test_a_model_that_is_read_otherwise_than_by_stock_is_an_error(
    kind: str,
    setting: str,
    encoder_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    folder = save_kind(tmp_path / "model", KINDS[kind](encoder_folder))
    look: Any = Form.look

    def forget(*arguments: Any, **options: Any) -> Form:
        form: Form = look(*arguments, **options)
        form.shared.pop(setting, None)
        return form

    Encoder.load(str(folder), CONFIG)
    agreement._agreed.clear()
    monkeypatch.setattr(Form, "look", forget)
    with pytest.raises(ModelError, match="as a query a text's vector differs by .* report this"):
        Encoder.load(str(folder), CONFIG)


@pytest.mark.parametrize(("off", "is_refused"), [(2e-4, True), (5e-5, False)])
def test_more_than_1e_4_in_any_number_of_either_role_is_an_error(
    off: float, is_refused: bool, encoder_folder: Path
):
    encoder = Encoder.load(str(encoder_folder), CONFIG)

    def encode(texts: Any, role: Any) -> np.ndarray:
        return encoder.encode(texts, role) + np.float32(off * (role == "document"))

    if not is_refused:
        check_agreement(encode, encoder.model, "other", "mine")
        return
    with pytest.raises(
        ModelError, match=r"model mine: as a document a text's vector differs by 2\.0e-04 from"
    ):
        check_agreement(encode, encoder.model, "other", "mine")


def test_a_model_is_compared_once_per_process(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    Encoder.load(str(encoder_folder), CONFIG)
    monkeypatch.setattr(agreement, "_encode_by_stock", lambda *_: pytest.fail("compared again"))
    Encoder.load(str(encoder_folder), CONFIG)
