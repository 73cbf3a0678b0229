"""How many of the tokens that a run computes are padding."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback


class TokenCounter:
    """Wraps a model's `preprocess` and counts what it hands out."""

    def __init__(self, preprocess: Callable[..., dict[str, Any]]) -> None:
        self.preprocess = preprocess
        self.tokens, self.places = 0, 0

    def __call__(self, *inputs: Any, **options: Any) -> dict[str, Any]:
        features = self.preprocess(*inputs, **options)
        if "attention_mask" in features:
            self.tokens += int(features["attention_mask"].sum())
            self.places += features["attention_mask"].numel()
        return features

    @property
    def padding(self) -> float:
        """Share of places without a token, from 0 to 1."""
        return 1 - self.tokens / self.places if self.places else 0.0


class PaddingLog(TrainerCallback):
    """Adds the padding share so far to each logged step, as `padding`."""

    def __init__(self, counter: TokenCounter) -> None:
        self.counter = counter

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.log_history:
            state.log_history[-1]["padding"] = round(self.counter.padding, 4)


def count_padding(trainer: Any) -> TokenCounter:
    """Counts the tokens of a SentenceTransformerTrainer's batches on this rank, from when this
    process started.
    """
    counter = TokenCounter(trainer.data_collator.preprocess_fn)
    trainer.data_collator.preprocess_fn = counter
    trainer.add_callback(PaddingLog(counter))
    return counter
