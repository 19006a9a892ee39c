"""The tag that finds all objects of celeryscope in Kibana's lists."""

from typing import Final

from celeryscope.service.kibana_views import identifier
from celeryscope_kibana.saved_objects.model import Reference, SavedObject

TAG_ID: Final = identifier("tag")


def tag() -> SavedObject:
    """The tag itself."""
    attributes = {"name": "Celeryscope", "description": "Made by celeryscope", "color": "#0072B2"}
    return SavedObject("tag", TAG_ID, attributes)


def tagged() -> Reference:
    """What an object that carries the tag refers to."""
    return Reference(f"tag-ref-{TAG_ID}", "tag", TAG_ID)
