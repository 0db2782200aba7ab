"""`python -m strongroom.probe.process`: the probe of one tenant, in a process of its own; see `isolation.service.run_apart`."""

from __future__ import annotations

import pickle
import sys
from uuid import UUID

from strongroom.config import Settings
from strongroom.logs import configure_logging
from strongroom.probe.run import one, prober


def main() -> None:
    """Probe the tenant that standard input names, with the settings from there. They are pickled, and both ends are ours."""
    settings, tenant_id = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    assert isinstance(settings, Settings)  # noqa: S101 - tells the type checker
    assert isinstance(tenant_id, UUID)  # noqa: S101 - as above
    configure_logging(settings)
    with prober(settings) as runtime:
        one(runtime, tenant_id)


if __name__ == "__main__":
    main()
