"""Vega specifications, for what Lens cannot draw. Strict JSON; each request is one ``_search`` that needs no script."""
