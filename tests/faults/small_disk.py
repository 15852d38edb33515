"""Run a program whose folder is a small disk of its own: ``python -m tests.faults.small_disk FOLDER BYTES PROGRAM …``.

A file system in memory, mounted where this program and its children alone see it. Root needs no more than a mount namespace; anybody
else gets a user namespace around it, in which they are who they are.
"""

import ctypes
import os
import sys
from pathlib import Path

_NEW_USERS, _NEW_MOUNTS = 0x10000000, 0x00020000
_RECURSIVE, _PRIVATE = 0x4000, 0x40000


def main() -> None:
    """Mount, and become the program."""
    folder, size, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)

    def call(result: int, what: str) -> None:
        if result:
            raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")

    uid, gid = os.geteuid(), os.getegid()
    call(libc.unshare(_NEW_MOUNTS | (_NEW_USERS if uid else 0)), "no namespace of our own")
    if uid:
        own = Path("/proc/self")
        (own / "setgroups").write_text("deny")
        (own / "uid_map").write_text(f"{uid} {uid} 1")
        (own / "gid_map").write_text(f"{gid} {gid} 1")
    call(libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None), "the mounts are not ours to change")
    call(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size},mode=755".encode()), "no disk in memory")
    os.execv(command[0], command)  # noqa: S606 -- as the test says


if __name__ == "__main__":
    main()
