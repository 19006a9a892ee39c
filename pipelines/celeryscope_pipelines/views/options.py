"""What the commands of the views are called with: the store of a tenant."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from elasticsearch import Elasticsearch

from celeryscope.service.options import connection_options
from celeryscope_pipelines.views.fetch import Store


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the connection; the command gets ``store`` as its first argument."""

    @connection_options
    @wraps(command)
    def with_store(client: Elasticsearch, tenant: str, *args: Any, **options: Any) -> Any:
        return command(Store(client, tenant), *args, **options)

    return with_store
