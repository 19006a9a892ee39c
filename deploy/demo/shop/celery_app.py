"""The Celery application of the shop. These are all the lines that celeryscope needs: the import and `instrument`.

``SHOP_BROKER_URL`` and ``SHOP_RESULT_BACKEND`` say which Redis to use, ``SHOP_VISIBILITY_TIMEOUT`` after how many
seconds Redis gives the messages of a dead worker to another one.
"""

import os

from celery import Celery

import celeryscope
from shop import logs

app = Celery(
    "shop",
    broker=os.environ.get("SHOP_BROKER_URL", "redis://127.0.0.1:6379/0"),
    backend=os.environ.get("SHOP_RESULT_BACKEND", "redis://127.0.0.1:6379/1"),
    include=[
        "shop.maintenance",
        "shop.notifications",
        "shop.orders",
        "shop.payments",
        "shop.reports",
        "shop.shipping",
    ],
)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": int(os.environ.get("SHOP_VISIBILITY_TIMEOUT", "3600")),
        # Every look for overdue messages, one each 10 s, is a real one; by default only every tenth is.
        "unacked_restore_throttle": 1,
    },
    result_expires=3600,
    timezone="UTC",
    beat_schedule={
        "count-open-orders": {"task": "shop.reports.count_open_orders", "schedule": 5.0},
    },
)
logs.configure()
celeryscope.instrument(app)
