"""celeryscope: what happened to every Celery task.

Three lines in one's own application::

    import celeryscope

    celeryscope.instrument(app)
"""

from typing import TYPE_CHECKING, Any

from celeryscope.__about__ import __version__

if TYPE_CHECKING:
    from celery import Celery

    from celeryscope.logs.structured import structlog_processor

__all__ = ["__version__", "instrument", "structlog_processor", "uninstrument"]


def instrument(app: "Celery | None" = None, **settings: Any) -> None:
    """Record what every task of this process does; call it once, where the app is made, in workers and publishers.

    ``settings``: fields of ``celeryscope.settings.Settings``; they win over ``CELERYSCOPE_*`` in the environment.
    A second call changes nothing. Raises ConfigError when a setting is unknown or wrong; nothing later raises.
    """
    from celeryscope.instrumentor import CeleryscopeInstrumentor
    from celeryscope.settings import Settings

    instrumentor = CeleryscopeInstrumentor()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument(app=app, settings=Settings.load(**settings), skip_dep_check=True)


def uninstrument() -> None:
    """Undo ``instrument``, and ship what is left in the spool."""
    from celeryscope.instrumentor import CeleryscopeInstrumentor

    instrumentor = CeleryscopeInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


def __getattr__(name: str) -> Any:
    # Lazily: commands and services import this package without wanting Celery and OpenTelemetry.
    if name == "structlog_processor":
        from celeryscope.logs.structured import structlog_processor

        return structlog_processor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
