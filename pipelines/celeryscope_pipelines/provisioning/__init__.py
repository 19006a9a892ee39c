"""What celeryscope needs in Kafka and Elasticsearch, brought about as often as one likes.

Nothing that holds data is ever deleted or made smaller.
"""

from celeryscope.service.changes import Action, Change
from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.provisioning.indices import provision_indices
from celeryscope_pipelines.provisioning.plan import Plan
from celeryscope_pipelines.provisioning.topics import provision_topics

__all__ = ["Action", "Change", "Plan", "provision"]


def provision(
    kafka: KafkaSettings, elasticsearch: ElasticsearchSettings, plan: Plan | None = None, *, dry_run: bool = False
) -> list[Change]:
    """Create or change topics, index templates and entity indices; what became of each.

    With ``dry_run`` nothing is written and the answer is what would become of each. Raises Unavailable when a server is
    away (the message says which), Unauthorized, WrongVersion, ConfigError; what was done before stays, and a second
    call goes on.
    """
    plan = plan or Plan()
    return [
        *provision_topics(kafka, plan, dry_run=dry_run),
        *provision_indices(elasticsearch, plan, dry_run=dry_run),
    ]
