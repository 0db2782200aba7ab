"""Figures of the whole deployment for Prometheus, read when asked for; per-tenant ones carry the tenant's slug and id."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from strongroom.operating import service
from strongroom.runtime import Runtime

TENANT_FIGURES = ("stored_bytes", "stored_files", "uploads", "downloads", "bytes_in", "bytes_out")


class DeploymentCollector(Collector):
    """Reads jobs and today's usage from the databases."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterator[Metric]:
        """Yield all figures."""
        jobs = GaugeMetricFamily("strongroom_jobs", "Jobs by state", labels=["state"])
        for state, count in service.count_jobs(self._runtime).items():
            jobs.add_metric([state], count)
        yield jobs
        today = datetime.now(UTC).date()
        figures = service.list_figures(self._runtime, start=today, end=today)
        for name in TENANT_FIGURES:
            today_only = "" if name.startswith("stored") else ", today (UTC)"
            family = GaugeMetricFamily(f"strongroom_tenant_{name}", f"Per tenant: {name}{today_only}", labels=["tenant", "tenant_id"])
            for each in figures:
                family.add_metric([each.tenant.slug, str(each.tenant.id)], getattr(each, name))
            yield family


def make_registry(runtime: Runtime) -> CollectorRegistry:
    """Return a registry that reads the deployment's figures when it is asked."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DeploymentCollector(runtime))
    return registry
