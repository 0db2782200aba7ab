"""`strongroom doctor`: says that all is well, or what is wrong and how to mend it."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.deployment import Deployment, free_port
from tests.acceptance.waiting import wait_until

PARTS = {"database", "cells", "walls", "migrations", "broker", "jobs", "scanners", "providers"}


def doctor(deployment: Deployment, **env: str) -> tuple[int, dict[str, Any]]:
    """Run it; the exit code and the findings by part."""

    done = deployment.run("doctor", "--state", deployment.state, "--json", env=env)
    answer = json.loads(done.stdout)
    assert answer["ok"] is all(each["ok"] for each in answer["findings"])
    return done.returncode, {each["part"]: each for each in answer["findings"]}


def test_all_is_well(deployment: Deployment) -> None:
    def well() -> bool:
        code, findings = doctor(deployment)
        assert set(findings) >= PARTS
        assert code == 0, [each for each in findings.values() if not each["ok"]]
        return True

    wait_until(well, 30, "doctor to find nothing")  # other tests may have jobs under way
    text = deployment.run("doctor", "--state", deployment.state)
    assert text.returncode == 0
    assert all(line.startswith("ok") for line in text.stdout.splitlines())


def test_a_clamd_that_does_not_answer(deployment: Deployment) -> None:
    address = f"127.0.0.1:{free_port()}"
    code, findings = doctor(deployment, STRONGROOM_CLAMD_ADDRESS=address)
    assert code == 1
    assert not findings["scanners"]["ok"]
    assert address in findings["scanners"]["text"]
    assert "STRONGROOM_CLAMD_ADDRESS" in findings["scanners"]["text"]
    text = deployment.run("doctor", "--state", deployment.state, env={"STRONGROOM_CLAMD_ADDRESS": address})
    assert text.returncode == 1
    assert "PROBLEM" in text.stdout


def test_a_broker_that_does_not_answer(deployment: Deployment) -> None:
    code, findings = doctor(deployment, STRONGROOM_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert code == 1
    assert not findings["broker"]["ok"]
    assert findings["database"]["ok"]
