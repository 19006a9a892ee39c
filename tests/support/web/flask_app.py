"""Flask under gunicorn."""

from flask import Flask
from opentelemetry.instrumentation.flask import FlaskInstrumentor

from support.web.shop import checkout

application = Flask(__name__)
FlaskInstrumentor().instrument_app(application)


@application.get("/orders/<order>")
def place(order: str) -> str:
    return checkout(order)
