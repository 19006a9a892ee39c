"""A known load while everything fails in turn: ``python -m chaos``, or ``make chaos``.

``plan`` says what is published and what must become of it, ``run`` does it on a ``stack`` of real processes whose wires
are ``links``, one of the ``faults`` after the other; ``verdict`` compares what Elasticsearch has with the plan.
"""
