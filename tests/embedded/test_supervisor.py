from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from strongroom.embedded import record
from strongroom.embedded.errors import EmbeddedError
from strongroom.embedded.files import write_private_json
from strongroom.embedded.process import LOG_MAX_SIZE_BYTES, ProcessSpec, RestartPolicy, identity
from strongroom.embedded.supervisor import Supervisor

IsAlive = Callable[[int], bool]
WaitUntil = Callable[..., None]


def without_pids(events: list[str]) -> list[str]:
    return [" ".join(event.split()[:2]) for event in events]


def start_count(deployment: Any, name: str) -> int:
    return without_pids(deployment.events()).count(f"start {name}")


def test_starts_in_order_and_stops_in_reverse(deployment: Any) -> None:
    run = deployment.start_ready("a", "b", "c")
    assert without_pids(deployment.events()) == ["start a", "after a", "start b", "after b", "start c", "after c"]
    deployment.stop(run)
    assert deployment.events()[6:] == ["stop c", "stop b", "stop a"]
    assert not (deployment.folder / "run.json").exists()


def test_a_group_is_told_to_stop_at_once(deployment: Any) -> None:
    """Each of it ends only when all have been told."""
    run = deployment.start_ready("a", "b:joint", "c:joint", "d:joint", "e")
    errors = deployment.stop(run)
    events = [event for event in deployment.events() if event.split()[0] in {"stop", "told"}]
    assert events[0] == "stop e"
    assert sorted(events[1:4]) == ["told b", "told c", "told d"]
    assert sorted(events[4:7]) == ["stop b", "stop c", "stop d"]
    assert events[7:] == ["stop a"]
    assert "force" not in errors


def test_sigterm_stops_too(deployment: Any) -> None:
    run = deployment.start_ready("a")
    run.terminate()
    run.communicate(timeout=10)
    assert run.returncode == 0
    assert deployment.events()[-1] == "stop a"


def test_ctrl_c_of_the_terminal_reaches_the_supervisor_alone(deployment: Any) -> None:
    run = deployment.start_ready("a")
    os.killpg(run.pid, signal.SIGINT)
    run.communicate(timeout=10)
    assert deployment.events()[-1] == "stop a"
    assert "interrupted a" not in deployment.events()


def test_killed_child_is_started_again(deployment: Any, wait_until: WaitUntil) -> None:
    run = deployment.start_ready("a", "b")
    os.kill(deployment.pid("a"), signal.SIGKILL)
    wait_until(lambda: start_count(deployment, "a") == 2)
    assert start_count(deployment, "b") == 1
    errors = deployment.stop(run)
    assert "a was killed by SIGKILL; starting it again" in errors
    assert deployment.events().count("after a") == 1


def test_killed_childs_process_group_goes_with_it(deployment: Any, wait_until: WaitUntil, is_alive: IsAlive) -> None:
    """What it left in other sessions goes when the supervisor stops."""
    run = deployment.start_ready("a:parent")
    wait_until(lambda: start_count(deployment, "a-child") == 1)
    grandchild = next(int(event.split()[2]) for event in deployment.events() if event.startswith("start a-child"))
    deployment.stop(run)
    assert not is_alive(grandchild)


def test_children_vanish_with_a_killed_supervisor(deployment: Any, wait_until: WaitUntil, is_alive: IsAlive) -> None:
    run = deployment.start_ready("a", "b")
    pids = [deployment.pid("a"), deployment.pid("b")]
    deployment.kill(run)
    wait_until(lambda: not any(is_alive(pid) for pid in pids), timeout_s=5)
    deployment.stop(deployment.start_ready("a", "b"))
    assert start_count(deployment, "a") == 2


def test_next_start_ends_what_outlived_a_killed_supervisor(
    deployment: Any, wait_until: WaitUntil, is_alive: IsAlive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "_GENTLE_S", 0.2)
    run = deployment.start_ready("a:stubborn", "b:parent")
    wait_until(lambda: start_count(deployment, "b-child") == 1)
    survivors = [deployment.pid("a")]
    survivors += [int(event.split()[2]) for event in deployment.events() if event.startswith("start b-child")]
    deployment.kill(run)
    assert all(is_alive(pid) for pid in survivors)
    ended = record.end_leftovers(deployment.folder / "run.json")
    assert not any(is_alive(pid) for pid in survivors)
    assert len(ended) >= 2


def test_a_stranger_with_a_recorded_pid_is_spared(folder: Path, is_alive: IsAlive) -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as stranger:
        child = {"name": "a", "pid": stranger.pid, "identity": "another boot:1", "stop_signal": 9}
        write_private_json(folder / "run.json", {"run_id": "none", "children": [child]})
        assert record.end_leftovers(folder / "run.json") == []
        assert is_alive(stranger.pid)
        stranger.kill()


def test_damaged_record_is_no_record(folder: Path) -> None:
    (folder / "run.json").write_text("{half")
    assert record.end_leftovers(folder / "run.json") == []


def test_second_supervisor_is_refused_and_names_the_first(deployment: Any) -> None:
    run = deployment.start_ready("a")
    second = deployment.start("a")
    errors = second.communicate(timeout=10)[1]
    assert second.returncode == 1
    assert f"process {run.pid}" in errors
    assert run.poll() is None
    assert start_count(deployment, "a") == 1
    deployment.stop(run)


def test_second_ctrl_c_forces(deployment: Any, wait_until: WaitUntil) -> None:
    run = deployment.start_ready("a:stubborn")

    def interrupted_to_death() -> bool:
        run.send_signal(signal.SIGINT)
        return run.poll() is not None

    wait_until(interrupted_to_death, timeout_s=10)
    assert "ended by force" in run.communicate()[1]


def test_stop_while_starting(deployment: Any, wait_until: WaitUntil) -> None:
    run = deployment.start("a", "b:slow", "c")
    wait_until(lambda: start_count(deployment, "b") == 1)
    deployment.stop(run)
    assert deployment.events()[-2:] == ["stop b", "stop a"]
    assert not (deployment.folder / "ready").exists()


def spec(code: str, **options: Any) -> ProcessSpec:
    return ProcessSpec(name="a", argv=[sys.executable, "-c", code], **options)


def test_child_that_ends_before_it_is_ready_fails_the_start_with_its_log(deployment: Any) -> None:
    run = deployment.start("a", "b:broken")
    errors = run.communicate(timeout=10)[1]
    assert run.returncode == 1
    assert "I am broken" in errors
    assert deployment.events()[-1] == "stop a"


def test_not_ready_in_time_fails_the_start(folder: Path) -> None:
    others = set(psutil.Process().children())
    slow = spec("import signal; signal.pause()", ready=lambda: False, ready_timeout_s=0.2)
    with pytest.raises(EmbeddedError, match="not ready within"):
        Supervisor([slow], log_dir=folder, pid_file=folder / "run.json").run()
    assert not [child for child in set(psutil.Process().children()) - others if child.status() != psutil.STATUS_ZOMBIE]


def test_gives_up_after_so_many_failures(folder: Path) -> None:
    said: list[str] = []
    broken = spec("raise SystemExit(3)", restart=RestartPolicy(first_delay_s=0.01, give_up_after=2))
    supervisor = Supervisor([broken], log_dir=folder, pid_file=folder / "run.json", say=said.append)
    with pytest.raises(EmbeddedError, match="exit code 3"):
        supervisor.run()
    assert supervisor.restarts == {"a": 2}
    assert len(said) == 2


def test_missing_program_fails_the_start(folder: Path) -> None:
    missing = ProcessSpec(name="a", argv=["/nowhere/program"], ready=lambda: False)
    with pytest.raises(EmbeddedError, match="cannot start"):
        Supervisor([missing], log_dir=folder, pid_file=folder / "run.json").run()


def test_signal_handlers_are_put_back(folder: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    supervisor = Supervisor([], log_dir=folder, pid_file=folder / "run.json")
    supervisor.stop()
    supervisor.run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)] == before


def test_log_is_rotated_when_it_is_large(deployment: Any) -> None:
    log = deployment.folder / "a.log"
    log.touch()
    os.truncate(log, LOG_MAX_SIZE_BYTES + 1)
    deployment.stop(deployment.start_ready("a"))
    assert log.stat().st_size == 0
    assert log.with_name("a.log.1").stat().st_size == LOG_MAX_SIZE_BYTES + 1


def test_backoff_doubles_up_to_its_limit() -> None:
    policy = RestartPolicy(first_delay_s=1, longest_delay_s=5)
    assert [policy.delay_s(failures) for failures in (1, 2, 3, 4, 1000)] == [1, 2, 4, 5, 5]


def test_identity_tells_processes_apart() -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as other:
        assert identity(other.pid) == identity(other.pid)
        assert identity(other.pid) != identity(os.getpid())
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert identity(other.pid) is None, "a zombie is gone"
