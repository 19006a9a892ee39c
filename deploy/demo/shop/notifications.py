"""Notifications: they go through a mail server that is often too busy."""

import logging
from typing import Any

from shop.celery_app import app

log = logging.getLogger(__name__)


class MailServerBusyError(Exception):
    """The mail server said: try again later."""


@app.task(name="shop.notifications.send_receipt")
def send_receipt(customer: str) -> str:
    """Send the receipt; the address it went to."""
    log.info("receipt sent to %s", customer)
    return f"{customer}@example.com"


@app.task(
    name="shop.notifications.notify_customer",
    bind=True,
    autoretry_for=(MailServerBusyError,),
    retry_backoff=1,
    retry_jitter=False,
    max_retries=3,
)
def notify_customer(self: Any, customer: str) -> str:
    """Succeeds at the third attempt."""
    log.info("mail to %s, attempt %s", customer, self.request.retries + 1)
    if self.request.retries < 2:
        raise MailServerBusyError(f"451 try again later (attempt {self.request.retries + 1})")
    return f"{customer}@example.com"


@app.task(
    name="shop.notifications.notify_warehouse",
    autoretry_for=(MailServerBusyError,),
    retry_backoff=1,
    retry_backoff_max=2,
    retry_jitter=False,
    max_retries=2,
)
def notify_warehouse(warehouse: str) -> None:
    """Never succeeds: the warehouse's mail server is always busy."""
    log.warning("warehouse %s does not answer", warehouse)
    raise MailServerBusyError(f"451 mailbox of {warehouse} is busy")
