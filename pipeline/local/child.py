"""Becomes another program (the broker, a vertex), so that it ends when the process that started it ends, however that
ended.

Run as a script (``python child.py <parent's pid> <program> <arguments…>``) and free of imports from the project: it
must start in milliseconds.

On Linux the kernel is asked to kill this process when the thread that started it ends, and then the process becomes
the program: no helper stays behind. A ``preexec_fn`` would run Python between fork and exec of a process with threads,
which can deadlock; a pid file and a clean-up at the next start would leave it running after ``kill -9``. Elsewhere
there is no such request: the script stays and ends the program when its standard input closes.
"""

import ctypes
import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> int:
    """Becomes ``command``; returns only where the kernel can't be asked."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before it could be asked
            return 1
        os.execv(command[0], command)  # noqa: S606  (a program of ours, by its full path)
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603  (likewise)
    sys.stdin.buffer.read()
    program.kill()
    return program.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
