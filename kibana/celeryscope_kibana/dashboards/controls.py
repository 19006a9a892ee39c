"""The controls that dashboards share: fields that attempts, failures, vitals and spans all have by the same name."""

from typing import Final

from celeryscope import semconv
from celeryscope_kibana.data_views import TASKS
from celeryscope_kibana.saved_objects.dashboard import Control

SERVICE: Final = Control(semconv.SERVICE_NAME, "Service", TASKS)
QUEUE: Final = Control(semconv.MESSAGING_DESTINATION, "Queue", TASKS)
TASK: Final = Control(semconv.TASK_NAME, "Task", TASKS)
WORKER: Final = Control(semconv.WORKER, "Worker", TASKS)
ENVIRONMENT: Final = Control(semconv.DEPLOYMENT_ENVIRONMENT, "Environment", TASKS)
WORKFLOW: Final = Control(semconv.ROOT_ID, "Workflow (root id)", TASKS, single=True)

ALL: Final = (SERVICE, QUEUE, TASK, WORKER, ENVIRONMENT)
