"""How a process gives way to those that somebody waits for."""

import contextlib
import os
import time
from pathlib import Path

TRIES, RETRY_SECONDS = 20, 0.1  # Linux sets the share of one session in a tenth of a second, whoever asks


def give_way(niceness: int, *, pid: int | None = None) -> None:
    """Has a process, or this one, get less of the processors than those that started it, see nice(1).

    Linux may share them by session first (`sched_autogroup_enabled`, see sched(7)). Then the niceness of a process
    counts within its session alone, and one that leads a session of its own takes the share of a whole session.
    """
    process = pid or os.getpid()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process, os.getpriority(os.PRIO_PROCESS, process) + niceness)
        if os.getsid(process) == process:
            _share_less(Path(f"/proc/{process}/autogroup"), niceness)


def _share_less(session: Path, niceness: int) -> None:
    """Raises OSError where Linux has no such shares."""
    for _ in range(TRIES):
        with contextlib.suppress(BlockingIOError):
            session.write_text(str(niceness), encoding="ascii")
            return
        time.sleep(RETRY_SECONDS)
