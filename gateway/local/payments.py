"""The simulated Stripe of one machine: ``python -m gateway.local.payments`` serves it; the launcher says how others reach it.

It runs where no Stripe key is set and customers cannot exist anyway: in demo mode. What was bought survives a restart.
"""

import secrets
import sys
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from gateway.env import env_str
from gateway.local.access import keep_secret
from gateway.local.configuration import Configuration
from gateway.stripe_simulator.app import StripeSimulator


def runs_payments(configuration: Configuration) -> bool:
    """Tell whether this copy simulates Stripe."""
    return configuration.is_demo and not configuration.has_stripe


def payment_variables(configuration: Configuration, *, port: int) -> dict[str, str]:
    """Return the variables with which Django and the simulator find each other: addresses, a key and a webhook secret of their own."""
    secret = keep_secret(configuration.data / "stripe_secret", make=lambda: secrets.token_hex(16))
    page_url = f"http://{_host_for_browsers(configuration)}:{port}"
    return {
        "STRIPE_SECRET_KEY": f"sk_test_{secret}",
        "STRIPE_WEBHOOK_SECRET": f"whsec_{secret}",
        "STRIPE_API_URL": f"{configuration.local_url.rpartition(':')[0]}:{port}",
        "STRIPE_PAGE_ORIGINS": page_url,
    }


def payment_command(configuration: Configuration, *, port: int) -> list[str | Path]:
    """Return what starts the simulator. It reads its secrets from the variables, where no list of processes shows them."""
    return [
        *(sys.executable, "-m", "gateway.local.payments"),
        *(configuration.host, str(port), configuration.data / "stripe.sqlite", f"{configuration.local_url}/webhooks/stripe"),
    ]


def _host_for_browsers(configuration: Configuration) -> str:
    """Checkout is opened by the same browser as the dashboard, so it has the dashboard's host."""
    host = urlsplit(configuration.public_url).hostname or "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def main(host: str, port: str, file: str, webhook_url: str) -> None:
    """Serve until a signal, where the dashboard listens too. The key that Django was given is the only one it takes."""
    simulator = StripeSimulator(
        file=Path(file),
        page_url=env_str("STRIPE_PAGE_ORIGINS"),
        webhook_url=webhook_url,
        webhook_secret=env_str("STRIPE_WEBHOOK_SECRET"),
        api_key=env_str("STRIPE_SECRET_KEY"),
    )
    # One process: it keeps everything in memory. Without the number, uvicorn would take that of the web server from the environment.
    uvicorn.run(simulator, host=host, port=int(port), workers=1, log_level="warning", access_log=False, lifespan="on")


if __name__ == "__main__":
    main(*sys.argv[1:])
