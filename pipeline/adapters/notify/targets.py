"""Targets by Apprise: mail, chat and webhooks, each an address of its kind. They hold secrets and are never shown."""

import hashlib
import importlib.util
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.governance.service.notices import LONGEST_SEND
from pipeline.governance.text import visible

LONGEST_KIND = 20


class AppriseNotifier:
    """Implements Notifier. Apprise is imported when something is sent: that takes most of a second."""

    def __init__(self, addresses: Sequence[str], *, longest: timedelta = LONGEST_SEND) -> None:
        """longest: how long one target is waited for. Raises InvalidInput where there are targets and no Apprise."""
        self._longest, self._asked = longest, dict[str, threading.Thread]()
        self._addresses = {hashlib.sha256(each.encode()).hexdigest()[:16]: each for each in addresses}
        if addresses and importlib.util.find_spec("apprise") is None:
            raise InvalidInput(
                "SIGNOFF_NOTIFY_URLS: sending needs Apprise; install it with pip install 'signoff[notify]'"
            )

    def targets(self) -> Mapping[str, str]:
        """Each is called by its place in the list and its kind, such as `target 2 (mailtos)`."""
        return {target: self._name(target) for target in self._addresses}

    def _name(self, target: str) -> str:
        kind = self._addresses[target].partition("://")[0]
        return f"target {list(self._addresses).index(target) + 1} ({visible(kind, most=LONGEST_KIND)})"

    def send(self, target: str, title: str, text: str) -> None:
        if target not in self._addresses:
            raise Unavailable(f"notify: there is no target {target}")
        if target in self._asked and self._asked[target].is_alive():
            raise Unavailable(f"{self._name(target)} has not answered to an earlier notice yet")
        plugin, answer = self._plugin(target), Future[bool]()

        def ask() -> None:
            try:
                answer.set_result(plugin.notify(body=text, title=title, body_format="text"))
            except Exception as error:  # noqa: BLE001 (raised again below)
                answer.set_exception(error)

        # Apprise bounds each read, which a target that answers byte by byte outlasts; and a process may end meanwhile.
        self._asked[target] = threading.Thread(target=ask, name="notice", daemon=True)
        self._asked[target].start()
        self._asked[target].join(self._longest.total_seconds())
        if not answer.done():
            raise Unavailable(f"{self._name(target)} did not answer within {self._longest.total_seconds():g} s")
        try:
            taken = answer.result()
        except Exception as error:  # a hundred plugins of others: whatever one raises, the next target is asked
            raise Unavailable(f"{self._name(target)} ended with {type(error).__name__}") from error
        if not taken:
            raise Unavailable(f"{self._name(target)} did not take it")

    def _plugin(self, target: str) -> Any:  # noqa: ANN401 (Apprise's plugins have no common public type)
        import apprise

        # One after the other, with nothing of Apprise's own in it, and without reading its plugins from anywhere else.
        asset = apprise.AppriseAsset(
            app_id="Signoff", app_desc="Signoff", app_url="", async_mode=False, plugin_paths=[], secure_logging=True
        )
        plugin = apprise.Apprise.instantiate(self._addresses[target], asset=asset, suppress_exceptions=True)
        if plugin is None:
            raise Unavailable(f"{self._name(target)} is no address that Apprise knows")
        return plugin
