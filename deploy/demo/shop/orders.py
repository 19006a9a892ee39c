"""Orders: checking one, and placing one, which starts the rest of its way."""

from typing import Any, TypedDict

import structlog
from celery import chain

from shop.celery_app import app
from shop.payments import process_payment
from shop.shipping import ship_order

log = structlog.get_logger()


class Order(TypedDict):
    """What travels from task to task."""

    number: int
    customer: str
    items: list[str]
    card: str
    total: int


class InvalidOrderError(ValueError):
    """The order cannot be carried out as it stands."""


@app.task(name="shop.orders.validate_order")
def validate_order(order: Order) -> Order:
    """The order itself, when it has items and a total; else InvalidOrderError."""
    log.info("order checked", order=order["number"], items=len(order["items"]))
    if not order["items"]:
        raise InvalidOrderError(f"order {order['number']} has no items")
    return order


@app.task(name="shop.orders.place_order")
def place_order(order: Order) -> str:
    """Start the chain of the order from inside this task; the id of its last step."""
    log.info("order placed", order=order["number"], customer=order["customer"])
    steps = chain(validate_order.s(order), process_payment.s(), ship_order.s())
    result: Any = steps.apply_async()
    return str(result.id)
