"""The Celery app and its tasks: the runner of jobs, the dispatcher, and what each kind of job does."""
