"""Payments: the second step of an order."""

from typing import Any

from celery.utils.log import get_task_logger

from shop import gateway
from shop.celery_app import app

log = get_task_logger(__name__)


@app.task(name="shop.payments.process_payment")
def process_payment(order: dict[str, Any]) -> dict[str, Any]:
    """The order with its receipt; PaymentError when the gateway did not take the money."""
    log.info("charging %s cents for order %s", order["total"], order["number"])
    receipt = gateway.charge(order["card"], order["total"])
    return {**order, "receipt": receipt}
