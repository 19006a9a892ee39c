"""How the shop logs: structlog beside stdlib `logging`, both in the same worker."""

import sys

import structlog

import celeryscope


def configure() -> None:
    """Send structlog's lines to standard error; celeryscope's processor puts the task's ids on each and records it."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            celeryscope.structlog_processor,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        # The worker turns sys.stderr into a log of its own; its lines would be recorded twice.
        logger_factory=structlog.WriteLoggerFactory(file=sys.__stderr__),
        cache_logger_on_first_use=False,
    )
