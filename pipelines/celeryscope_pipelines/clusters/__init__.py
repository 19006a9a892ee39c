"""Failure clusters: what is known of them, the states that people and failures put them into, which belong together.

Two write the same entities at the same time: indexers, what failures say (``facts``), and people, what they decide
(``states``). Both do so by compare and set, and neither writes the other's fields.
"""

from typing import Any

Entity = dict[str, Any]
"""A document of ``celery-failures``; names as in ``semconv``, dates as ISO 8601 in UTC, which compare as text."""
