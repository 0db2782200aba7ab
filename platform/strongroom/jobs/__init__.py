"""Jobs: durable units of background work. A row in the transaction that needs it, a Celery message after the commit."""
