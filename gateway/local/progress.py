"""What the launcher shows on standard error while it starts, and the welcome when it is done."""

import time

from rich.console import Console
from rich.panel import Panel
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
        base = access["TOLLWAY_BASE_URL"]
        model = _LOCAL_MODEL if configuration.wants_model else _SIMULATED_MODEL
        lines = [
            f"Dashboard   {configuration.public_url}/dashboard",
            f"  login     {access['TOLLWAY_EMAIL']}  {access['TOLLWAY_PASSWORD']}",
            f"Operator    {configuration.public_url}/operator/",
            f"  login     {access['TOLLWAY_ADMIN_EMAIL']}  {access['TOLLWAY_ADMIN_PASSWORD']}",
            f"API         {base}",
            f"Keys        {configuration.data / 'demo.env'}",
            f"Logs        {configuration.data / 'logs'}",
        ]
        self._console.print(Panel(Text("\n".join(lines), overflow="fold"), title="Tollway runs. Ctrl-C stops it.", expand=False))
        body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello."}}]}}'
        command = (
            f"curl {base}/chat/completions -H 'Authorization: Bearer {access['TOLLWAY_API_KEY']}' "
            f"-H 'Content-Type: application/json' -d '{body}'"
        )
        self._console.print(Text("Try it:"))
        self._console.print(Text(command), soft_wrap=True)

    def _close_step(self) -> None:
        self._status.stop()
        now_s = time.monotonic()
        if self.current:
            self._console.print(Text(f"  {now_s - self._step_begun_s:5.1f} s  {self.current}"), soft_wrap=True)
        self.current, self._step_begun_s = "", now_s
