"""Say what a search of settings gave: on a screen, and in summary.json."""

from typing import Any

from medembed import storage
from medembed.evaluation.retention.words import format_retention
from medembed.language import tr
from medembed.registry.config import RegistryConfig, command
from medembed.tuning.config import TuneConfig
from medembed.tuning.outcome import Tuned
from medembed.tuning.trials import describe, describe_states


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
    states = describe_states(tuned.records)
    default = tuned.records[0]
    gain = ""
    if default.state == "complete" and default != best:
        gain = tr(", {gain:+.4f} to the default", gain=best.score - default.score)
    settings = []
    for key, value in best.point.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        settings.append(f"         {key} = {shown}")
    model = tuned.version.reference
    evaluation = storage.join(storage.absolute(config.output), "evaluation")
    test = (f"model={model}", f"data={config.data}", f"output={evaluation}")
    return [
        *format_retention(tuned.retention),
        tr("trials:  {count}: {states}", count=len(tuned.records), states=states),
        tr(
            "best:    trial {number}: {outcome}{gain}",
            number=best.number,
            outcome=describe(best, tuned.examples),
            gain=gain,
        ),
        *settings,
        tr("train:   {command}", command=command(RegistryConfig(), "train", tuned.best_config)),
        tr(
            "model:   {model}; compare on test: {command}",
            model=model,
            command=command(config.registry, "evaluate", *test),
        ),
        tr("report:  {report}", report=tuned.report),
    ]
