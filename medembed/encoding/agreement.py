"""Check that the encoder gives the vectors that sentence-transformers gives, on three texts."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.encoding.reading import ROLES, Role, find_prompt_name
from medembed.errors import ModelError
from medembed.language import tr

logger = logging.getLogger(__name__)

LARGEST_DIFFERENCE = 1e-4
# Of three lengths, so that one batch has padding; capitals and two lines, which a tokenizer may
# read in its own way.
_TEXTS = (
    "Fever",
    "Pain in the left knee",
    "A dry cough, HER2 positive,\nand 39 degrees since Monday.",
)
_agreed: set[str] = set()  # fingerprints of the models that were compared in this process

Vectors = npt.NDArray[np.float32]


def check_agreement(
    encode: Callable[[Sequence[str], Role], Vectors], model: Any, fingerprint: str, reference: str
) -> None:
    """Raise ModelError if `encode` gives other unit vectors than the loaded model by itself.

    Once per process for a fingerprint.
    """
    if fingerprint in _agreed:
        return
    for role in ROLES:
        ours = encode(_TEXTS, role)
        stock = _encode_by_stock(model, role, reference)
        difference = np.abs(ours - stock).max() if ours.shape == stock.shape else np.inf
        if not difference <= LARGEST_DIFFERENCE:
            raise ModelError(
                "model {reference}: as a {role} a text's vector differs by {difference:.1e} from "
                "that of sentence-transformers, expected at most {most:.0e}. "
                "Encode with another model, and report this one.",
                reference=reference,
                role=role,
                difference=difference,
                most=LARGEST_DIFFERENCE,
            )
    _agreed.add(fingerprint)


def _encode_by_stock(model: Any, role: Role, reference: str) -> Vectors:
    """Return float32 [3, D], unit rows, of `encode_query` or `encode_document`.

    A document's prompt under another name counts, though `encode_document` reads `document` first,
    which is never missing: sentence-transformers gives every model an empty one.
    """
    name = find_prompt_name(role, model.prompts or {}) or role
    options: dict[str, Any] = {} if name == role else {"prompt_name": name}
    if options:
        logger.info(
            tr(
                "model {reference}: its document prompt is named {name}, which encode_document of "
                "sentence-transformers leaves out",
                reference=reference,
                name=name,
            )
        )
    encode = model.encode_query if role == "query" else model.encode_document
    vectors: Vectors = encode(
        list(_TEXTS), normalize_embeddings=True, show_progress_bar=False, **options
    )
    return vectors
