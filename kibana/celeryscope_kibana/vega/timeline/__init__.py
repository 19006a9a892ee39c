"""The timeline of a workflow, and the list to choose one from.

What one request finds decides: attempts of one workflow are drawn as its timeline, those of several as a list of the
slow and the failed ones. Data sets, in their order: ``attempts`` (documents), ``tasks``, ``edges`` (who waits for whom,
from the plans that attempts carry), ``nodes``, ``tree`` (chains, groups and chords in their order), ``critical`` (what
the end of the workflow hung on), ``rows`` (an attempt, or a step never reached), and what is drawn of them.
"""

from celeryscope_kibana.vega.source import Spec, specification
from celeryscope_kibana.vega.timeline import attempts, choosing, header, marks, order, plan, rows, signals


def timeline() -> Spec:
    """The specification."""
    return specification(
        "Timeline of a workflow",
        [
            *attempts.data(),
            *plan.data(),
            *order.data(),
            *rows.data(),
            *header.data(),
            *choosing.data(),
        ],
        [*signals.signals(), *choosing.signals()],
        [*header.marks(), *marks.marks(), *choosing.marks()],
        scales=signals.scales(),
    )
