"""Django under gunicorn, all in one module."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from opentelemetry.instrumentation.django import DjangoInstrumentor

from support.web.shop import checkout

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of a test", LOGGING_CONFIG=None)


def place(_: HttpRequest, order: str) -> HttpResponse:
    return HttpResponse(checkout(order))


urlpatterns = [path("orders/<str:order>", place)]
DjangoInstrumentor().instrument()
application = get_wsgi_application()
