"""Reports: a daily one whose sections fail independently, and a figure that beat asks for."""

import logging
from collections.abc import Callable

import structlog

from shop.celery_app import app

log = structlog.get_logger()
stdlib_log = logging.getLogger(__name__)


@app.task(name="shop.reports.daily_report")
def daily_report(day: str) -> None:
    """Build all sections, then raise what went wrong in any of them as one ExceptionGroup."""
    problems: list[Exception] = []
    sections: list[Callable[[str], int]] = [_revenue, _returns, _visits]
    for section in sections:
        try:
            section(day)
        except (ArithmeticError, LookupError) as error:
            problems.append(error)
    raise ExceptionGroup(f"{len(problems)} of {len(sections)} sections failed", problems)


@app.task(name="shop.reports.explain_stock")
def explain_stock(article: str) -> str:
    """Log through structlog and stdlib `logging` side by side, one of them with a handled exception."""
    log.info("stock asked for", article=article)
    stdlib_log.info("looking up %s", article)
    try:
        _revenue(article)
    except ZeroDivisionError:
        stdlib_log.exception("no revenue yet for %s", article)
    log.warning("stock is low", article=article, left=3)
    return article


@app.task(name="shop.reports.count_open_orders")
def count_open_orders() -> int:
    """What beat asks for every few seconds."""
    return 0


def _revenue(_day: str) -> int:
    orders = 0
    return 100 // orders


def _returns(day: str) -> int:
    return {"monday": 1}[day]


def _visits(_day: str) -> int:
    return 42
