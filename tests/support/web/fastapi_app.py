"""FastAPI under uvicorn."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

import celeryscope
from support.web.shop import checkout


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    if not os.environ.get("NO_LAST_WORD"):
        celeryscope.uninstrument()


application = FastAPI(lifespan=lifespan)
FastAPIInstrumentor.instrument_app(application)


@application.get("/orders/{order}")
async def place(order: str) -> str:
    await asyncio.sleep(0.05)  # so that requests overlap on the one thread
    return checkout(order)


@application.get("/in-a-thread/{order}")
def place_in_a_thread(order: str) -> str:
    return checkout(order)
