"""Becomes the program it is given, after dropping the user and tying its life to its parent's.

Run by path as `python -I -S launch.py PARENT_PID DEATH_SIGNAL USER CWD PROGRAM ARG…` (USER `-`: stay who we are),
because it has to start in milliseconds and without the package. It is a program and not a `preexec_fn`: the kernel
forgets PR_SET_PDEATHSIG on a change of credentials, so it has to be set after setuid, and Python code between fork
and exec is unsafe once threads exist. exec of an ordinary program keeps the setting (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
EXIT_CANNOT_START = 127


def user_changer(user: str) -> Callable[[], None]:
    """What drops root for good: supplementary groups, group, user."""
    import pwd  # noqa: PLC0415  (only children of another user pay for it)

    entry = pwd.getpwnam(user)

    def become() -> None:
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)

    return become


def death_signal_setter(number: int) -> Callable[[], None]:
    """What asks the kernel for a signal when the thread that forked us ends."""
    if sys.platform != "linux":
        return lambda: None
    import ctypes  # noqa: PLC0415  (Linux only)

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def main(arguments: list[str]) -> None:
    parent, death_signal, user, cwd, *argv = arguments
    os.umask(0o077)
    # Both are loaded first: the new user may be unable to read Python's own folder (/root/…)
    become = user_changer(user) if user != "-" else lambda: None
    set_death_signal = death_signal_setter(int(death_signal))
    become()
    set_death_signal()
    if os.getppid() != int(parent):  # it ended before it could be watched
        raise SystemExit(EXIT_CANNOT_START)
    os.chdir(cwd)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and exec would hand that on
        signal.signal(ignored, signal.SIG_DFL)
    os.execvp(argv[0], argv)  # noqa: S606  (no shell is the point)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, KeyError) as error:
        sys.stderr.write(f"cannot start {sys.argv[5:6]}: {error}\n")
        sys.exit(EXIT_CANNOT_START)
