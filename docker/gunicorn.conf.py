"""gunicorn's configuration, the same in the container and under `make run`."""

import os
from pathlib import Path
from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

from gateway.compiled.finder import read_mode, use_compiled
from gateway.env import env_bool, env_int, env_str

_host, _port = env_str("HOST", "127.0.0.1"), env_int("PORT", 8000)
bind = f"[{_host}]:{_port}" if ":" in _host else f"{_host}:{_port}"
workers = env_int("WEB_CONCURRENCY", os.cpu_count() or 1)
# Requests that run when a process is asked to stop may finish; streams of minutes are usual.
graceful_timeout = env_int("GRACEFUL_TIMEOUT", 60)
# A worker whose event loop has not moved for this long is stuck, and replaced.
timeout = 60
keepalive = env_int("KEEPALIVE", 75)
backlog = 2048
# The workers' heartbeats must never wait for a disk.
_memory = Path("/dev/shm")  # noqa: S108 -- gunicorn makes an unnamed file in it
worker_tmp_dir = str(_memory) if os.access(_memory, os.W_OK) else None
accesslog = "-" if env_bool("ACCESS_LOG", default=False) else None
errorlog = "-"
loglevel = env_str("LOG_LEVEL", "INFO").lower()
# Whether the modules of `make compiled` are used: auto, off or required.
_compiled = read_mode(env_str("COMPILED", "auto"))
proc_name = "tollway"
# Leaves a file of its socket in the working folder otherwise.
control_socket_disable = True


class TollwayWorker(UvicornWorker):  # type: ignore[misc]
    """uvicorn with its parts in C, named so that a missing one stops the start instead of slowing the service down."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "interface": "asgi3",
        # gateway/asgi.py reads them, for those who ask who the client is.
        "proxy_headers": False,
        "lifespan": "on",
        "server_header": False,
        # Connections left after this are cut, and the rest of the grace goes to the data plane's own end.
        "timeout_graceful_shutdown": max(1, graceful_timeout - 5),
    }

    def init_process(self) -> None:
        """Load the service. Here, behind the fork, so that a reload of the parent finds what lies on the disk by then."""
        obstacle = use_compiled(_compiled)
        if obstacle:
            self.log.info("The hot path runs as Python: %s.", obstacle)
        else:
            self.log.info("The hot path is compiled.")
        from gateway.server import DirectProtocol  # noqa: PLC0415

        self.config.http = DirectProtocol
        super().init_process()


worker_class = TollwayWorker
