"""Who speaks: the OpenTelemetry resource of all records of a process."""

import os
import socket

from opentelemetry.sdk.resources import Resource

from celeryscope import semconv
from celeryscope.settings import Settings

_UNKNOWN = "unknown_service"


def of_process(settings: Settings, app_name: str | None, instance: str) -> Resource:
    """The resource of this process; ``instance`` is unique to it. ``OTEL_RESOURCE_ATTRIBUTES`` adds to it."""
    # create() merges what the environment and the SDK say below what we say.
    merged = Resource.create({})
    name = settings.service_name or os.environ.get("OTEL_SERVICE_NAME")
    if not name:
        inherited = str(merged.attributes.get(semconv.SERVICE_NAME, _UNKNOWN))
        name = app_name or "celery" if inherited.startswith(_UNKNOWN) else inherited
    ours: dict[str, str | int] = {
        semconv.SERVICE_NAME: name,
        semconv.SERVICE_INSTANCE_ID: instance,
        semconv.HOST_NAME: socket.gethostname(),
        semconv.PROCESS_PID: os.getpid(),
    }
    if settings.environment:
        ours[semconv.DEPLOYMENT_ENVIRONMENT] = settings.environment
    return merged.merge(Resource(ours))
