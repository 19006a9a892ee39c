"""Log lines with task, attempt, workflow and trace ids: from standard library logging and structlog to the spool."""
