"""Targets by Apprise: mail, chat and webhooks, each an address of its kind. They hold secrets and are never shown."""

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.governance.text import visible

LONGEST_KIND = 20


class AppriseNotifier:
    """Implements Notifier. Apprise is imported when something is sent: that takes most of a second."""

    def __init__(self, addresses: Sequence[str]) -> None:
        """Raises InvalidInput where there are targets and no Apprise."""
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
        plugin = self._plugin(target)
        try:
            taken = plugin.notify(body=text, title=title, body_format="text")
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
