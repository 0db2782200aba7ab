"""/operator/jobs/: background work, and what failed every try."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, request
from strongroom.db.ids import parse_id
from strongroom.errors import NotFound
from strongroom.http.context import current_operator, runtime
from strongroom.jobs.queue import Job
from strongroom.operating import overview, service

from admin.notices import say
from admin.operator.frame import OperatorView, acts, shows
from admin.pages import OPERATOR, go
from admin.query import address

HERE = f"{OPERATOR}/jobs/"
PAGE = 50
STATES = {"waiting": "queued", "running": "running", "parked": "parked", "done": "done"}
SHOWN = {stored: shown for shown, stored in STATES.items()}


class Jobs(OperatorView):
    """The jobs."""

    @shows("/")
    def index(self) -> Response:
        """Show jobs, newest first."""
        state, cursor = request.args.get("state"), request.args.get("cursor")
        state = state if state in STATES else None
        before = parse_id(cursor) if cursor else None
        found = service.list_jobs(runtime(), state=STATES[state] if state else None, before=before, limit=PAGE + 1)
        items, last = found[:PAGE], found[PAGE - 1] if len(found) > PAGE else None
        names = overview.tenant_names(runtime(), [job.tenant_id for job in items])
        counts = service.count_jobs(runtime())
        return self.show(
            "jobs.html", jobs=[_row(job, names) for job in items], state=state, parked=counts["parked"], filters=_filters(counts, state),
            here=request.full_path.rstrip("?"), previous_url=address(HERE, state=state) if cursor else None,
            next_url=address(HERE, state=state, cursor=str(last.id)) if last else None,
        )  # fmt: skip

    @acts("/<job_id>/retry")
    def retry(self, job_id: str) -> Response:
        """Put a parked job back into the queue."""
        try:
            job = service.retry_job(runtime(), current_operator().email, parse_id(job_id))
        except NotFound as error:
            return say(go(address(HERE, state="parked")), "bad", error.detail)
        return say(go(HERE), "good", f"The job {job.kind} is waiting for a worker again.")

    @acts("/retry-parked")
    def retry_parked(self) -> Response:
        """Put all parked jobs back into the queue."""
        count = service.retry_parked_jobs(runtime(), current_operator().email)
        return say(go(HERE), "good", f"{count} parked job{'' if count == 1 else 's'} will be tried again.")


def _filters(counts: dict[str, int], chosen: str | None) -> list[dict[str, Any]]:
    everything = {"label": "All", "url": HERE, "active": chosen is None, "count": None}
    return [everything] + [
        {"label": shown.capitalize(), "url": address(HERE, state=shown), "active": shown == chosen, "count": counts[stored]}
        for shown, stored in STATES.items()
    ]


def _row(job: Job, names: dict[UUID, tuple[str, str]]) -> dict[str, Any]:
    named = names.get(job.tenant_id)
    return {
        **vars(job), "state": SHOWN[job.state], "max_attempts": runtime().settings.job_attempts,
        "tenant": {"slug": named[0], "name": named[1]} if named else None,
    }  # fmt: skip
