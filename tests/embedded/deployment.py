"""A small deployment for the tests: `deployment.py FOLDER CHILD…`; a child is NAME or NAME:KIND.

Kinds: `joint` children stop together, each only when all have been told to; `stubborn` ignores SIGTERM; `parent`
starts a process in a session of its own; `broken` ends at once; `slow` never gets ready; `postgres` is a database.
`initdb` (not a child) only makes the cluster.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from strongroom.embedded.errors import EmbeddedError
from strongroom.embedded.postgres import EmbeddedPostgres
from strongroom.embedded.state import StateDir
from strongroom.embedded.supervisor import ProcessSpec, RestartPolicy, Supervisor

JOINT = 3


def note(folder: Path, event: str) -> None:
    with (folder / "events").open("a") as file:
        file.write(f"{event}\n")


def count_starts(folder: Path, name: str) -> int:
    events = folder / "events"
    return events.read_text().count(f"start {name} ") if events.exists() else 0


def be_child(folder: Path, name: str, kind: str) -> None:
    if kind == "broken":
        sys.exit("I am broken")

    def stop(*_: object) -> None:
        if kind == "joint":
            note(folder, f"told {name}")
            while (folder / "events").read_text().count("told ") < JOINT:
                time.sleep(0.01)  # nothing tells what another process writes down
        note(folder, f"stop {name}")
        sys.exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == "stubborn" else stop)
    signal.signal(signal.SIGINT, lambda *_: note(folder, f"interrupted {name}"))
    if kind == "parent":
        subprocess.Popen([sys.executable, __file__, str(folder), "--child", f"{name}-child", ""], start_new_session=True)
    note(folder, f"start {name} {os.getpid()}")
    while True:
        signal.pause()


def make_postgres(folder: Path) -> EmbeddedPostgres:
    state = StateDir(folder / "state")
    state.create()
    log_file = state.logs_dir / "postgres.log"
    return EmbeddedPostgres(state.pg_data_dir, secret_file=state.pg_secret_file, socket_dir=state.pg_socket_dir, log_file=log_file)


def make_spec(folder: Path, child: str) -> ProcessSpec:
    name, _, kind = child.partition(":")
    if kind == "postgres":
        return make_postgres(folder).process_spec(name=name)
    before = count_starts(folder, name)
    return ProcessSpec(
        name=name,
        argv=[sys.executable, __file__, str(folder), "--child", name, kind],
        ready=lambda: kind != "slow" and count_starts(folder, name) > before,
        stop_timeout_s={"stubborn": 30, "joint": 60}.get(kind, 5),
        stop_group="joint" if kind == "joint" else "",
        restart=RestartPolicy(first_delay_s=0.05, give_up_after=None if kind != "broken" else 1),
        after_ready=lambda: note(folder, f"after {name}"),
    )


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    if names[0] == "--child":
        return be_child(folder, *names[1:])
    if names[0] == "initdb":
        return make_postgres(folder).initialise()
    specs = [make_spec(folder, name) for name in names]
    supervisor = Supervisor(specs, log_dir=folder, pid_file=folder / "run.json", on_ready=(folder / "ready").touch)
    try:
        supervisor.run()
    except EmbeddedError as error:
        sys.exit(str(error))
    return None


if __name__ == "__main__":
    main()
