"""Render a page as one self-contained HTML file to show in a meeting."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medembed.evaluation.bootstrap import FEWEST_GROUPS
from medembed.evaluation.footprint_words import (
    describe_measured,
    describe_smallest,
    milliseconds_label,
    numbers_label,
)
from medembed.evaluation.recommend import share
from medembed.evaluation.report.headline import headlines, warnings
from medembed.evaluation.report.page import Page, find_gains, slice_counts
from medembed.evaluation.result import BYTES_PER_VALUE, model_label
from medembed.evaluation.retention.names import set_label
from medembed.evaluation.retention.words import retention_headline
from medembed.evaluation.words import (
    at_dimensions,
    count_groups,
    interval,
    label,
    listed,
    number,
    slice_label,
    thousands,
    title_of,
    units_in_groups,
    units_of,
    verdict,
)
from medembed.language import current_language, tr, tr_count
from medembed.privacy import show_id

_TEMPLATE = Path(__file__).with_name("report.html.jinja")


def render_report(page: Page, plots: Mapping[str, bytes]) -> str:
    """Render HTML that refers to nothing outside itself; `plots` {file name: PNG}.

    Sections without content are left out.
    """
    from jinja2 import Environment, StrictUndefined

    environment: Any = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(tr, tr_count, newstyle=False)
    environment.filters |= _FILTERS
    images = {}
    for name, png in plots.items():
        images[name] = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        page=page,
        language=current_language(),
        headlines=headlines(page),
        warnings=warnings(page),
        plots=images,
        gains=find_gains(page),
        counts=slice_counts(page),
        alone=page.model.slices() if not page.comparisons else {},
        units=units_of(page.objective),
        bytes_per_value=BYTES_PER_VALUE,
        fewest_groups=FEWEST_GROUPS,
    )


def _show_unit(unit: str) -> str:
    """Write the id of a query, or of a query and a document, as a page names it."""
    return "\t".join(show_id(name) for name in unit.split("\t"))


_FILTERS: dict[str, Callable[..., str]] = {
    "label": label,
    "number": number,
    "interval": interval,
    "verdict": verdict,
    "listed": listed,
    "thousands": thousands,
    "groups": count_groups,
    "units_in_groups": units_in_groups,
    "title": title_of,
    "slice": slice_label,
    "set": set_label,
    "model": model_label,
    "at": at_dimensions,
    "share": share,
    "shown": _show_unit,
    "kept": retention_headline,
    "numbers": numbers_label,
    "milliseconds": milliseconds_label,
    "smallest": describe_smallest,
    "measured": describe_measured,
}
