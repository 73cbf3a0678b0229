"""Say what a search of settings gave: on a screen, and in summary.json."""

from typing import Any

from medembed import storage
from medembed.evaluation.retention.words import format_retention
from medembed.registry.config import RegistryConfig, command
from medembed.tuning.config import TuneConfig
from medembed.tuning.outcome import Tuned
from medembed.tuning.trials import count_states, describe


def summarize(tuned: Tuned) -> dict[str, Any]:
    """Return the search as summary.json has it."""
    best = tuned.best
    trials = []
    for record in tuned.records:
        score = record.score if record.course else None
        trials.append(
            {
                "trial": record.number,
                "state": record.state,
                "score": score,
                "seconds": record.seconds,
            }
        )
    return {
        "best": {"trial": best.number, "score": best.score, "settings": best.point},
        "trials": trials,
        "model": tuned.version.reference,
        "retention": tuned.retention and tuned.retention.numbers,
        "report": tuned.report,
        "config": tuned.best_config,
        "seconds": {name: round(spent, 1) for name, spent in tuned.seconds.items()},
    }


def describe_search(config: TuneConfig, tuned: Tuned) -> list[str]:
    """Return lines on the trials, the best settings, and what to do with them."""
    best = tuned.best
    states = count_states(tuned.records)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    default = tuned.records[0]
    gain = ""
    if default.state == "complete" and default != best:
        gain = f", {best.score - default.score:+.4f} to the default"
    settings = []
    for key, value in best.point.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        settings.append(f"         {key} = {shown}")
    model = tuned.version.reference
    evaluation = storage.join(storage.absolute(config.output), "evaluation")
    test = (f"model={model}", f"data={config.data}", f"output={evaluation}")
    return [
        *format_retention(tuned.retention),
        f"trials:  {len(tuned.records)}: {counts}",
        f"best:    trial {best.number}: {describe(best, tuned.examples)}{gain}",
        *settings,
        f"train:   {command(RegistryConfig(), 'train', tuned.best_config)}",
        f"model:   {model}; compare on test: {command(config.registry, 'evaluate', *test)}",
        f"report:  {tuned.report}",
    ]
