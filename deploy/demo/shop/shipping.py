"""Shipping: the last step of an order, and waves of many parcels that are summed up when all are out."""

import time
from typing import Any

import structlog
from celery import chord

from shop.celery_app import app

log = structlog.get_logger()


@app.task(name="shop.shipping.ship_order")
def ship_order(order: dict[str, Any]) -> str:
    """The parcel's tracking number."""
    log.info("order shipped", order=order["number"])
    return f"parcel-{order['number']}"


@app.task(name="shop.shipping.ship_parcel")
def ship_parcel(grams: int) -> int:
    """Ship one parcel of a wave; its weight."""
    time.sleep(0.02)
    return grams


@app.task(name="shop.shipping.sum_up")
def sum_up(weights: list[int]) -> int:
    """The weight of a whole wave, when all its parcels are out."""
    log.info("wave complete", parcels=len(weights), grams=sum(weights))
    return sum(weights)


@app.task(name="shop.shipping.ship_wave")
def ship_wave(weights: list[int]) -> str:
    """Ship parcels of these weights side by side and sum them up; the id of the sum."""
    result: Any = chord([ship_parcel.s(grams) for grams in weights])(sum_up.s())
    return str(result.id)
