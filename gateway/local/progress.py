"""What the launcher shows on standard error while it starts, and the welcome when it is done."""

import time

from rich.console import Console
from rich.text import Text

from gateway.local.configuration import Configuration

_LOCAL_MODEL = "huggingfacetb/smollm2-135m-instruct"
_SIMULATED_MODEL = "openai/gpt-4o-mini"


class Progress:
    """One line per step with its time. On a terminal the running step turns."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._status = self._console.status("")
        self._begun_s = self._step_begun_s = time.monotonic()
        self.current = ""

    def begin(self, step: str) -> None:
        """Close the running step and show the next."""
        self._close_step()
        self.current = step
        self._status.update(f"{step} …")
        if self._console.is_terminal:
            self._status.start()

    def finish(self) -> None:
        """Close the last step."""
        self._close_step()
        self.say(f"Ready after {time.monotonic() - self._begun_s:.1f} s.")

    def fail(self, message: str) -> None:
        """Show why it does not go on."""
        self._status.stop()
        self._console.print(Text(message, style="bold red"), soft_wrap=True)

    def say(self, message: str) -> None:
        """Show one line."""
        self._status.stop()
        self._console.print(Text(message), soft_wrap=True)

    def show_welcome(self, configuration: Configuration, access: dict[str, str]) -> None:
        """Show how to use what has started."""
        base, key = access["TOLLWAY_BASE_URL"], access["TOLLWAY_API_KEY"]
        model = _LOCAL_MODEL if configuration.wants_model else _SIMULATED_MODEL
        lines = [
            "",
            f"Dashboard  {configuration.public_url}/dashboard",
            f"           {access['TOLLWAY_EMAIL']}  {access['TOLLWAY_PASSWORD']}",
            f"Operator   {configuration.public_url}/operator/",
            f"           {access['TOLLWAY_ADMIN_EMAIL']}  {access['TOLLWAY_ADMIN_PASSWORD']}",
            *_tell_of_credit(configuration),
            f"API        {base}",
            f"           {key}",
            f"Files      {configuration.data / 'demo.env'} has all of this, {configuration.data / 'logs'} the logs",
            "",
            "Try it:",
            f"curl {base}/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\",
            f"""  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello."}}]}}'""",
            "",
            "Ctrl-C stops everything; the data stays.",
        ]
        self.say("\n".join(lines))

    def _close_step(self) -> None:
        self._status.stop()
        now_s = time.monotonic()
        if self.current:
            self._console.print(Text(f"  {now_s - self._step_begun_s:5.1f} s  {self.current}"), soft_wrap=True)
        self.current, self._step_begun_s = "", now_s


def _tell_of_credit(configuration: Configuration) -> list[str]:
    if not configuration.is_demo or configuration.has_stripe:
        return []
    return [
        f"Credits    {configuration.public_url}/credits",
        "           sold by a simulation of Stripe, which charges nothing: card 4242 4242 4242 4242",
    ]
