"""Targets by Apprise: mail, chat and webhooks, each an address of its kind. They hold secrets and are never shown."""

import hashlib
import importlib.util
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.governance.service.notices import LONGEST_SEND
from pipeline.governance.text import visible

LONGEST_KIND = 20


@dataclass(frozen=True)
class _Asked:
    """The last notice that a target was asked to take."""

    notice: tuple[str, str]  # title and text
    thread: threading.Thread
    answer: Future[bool]  # whether it was taken

    @property
    def taken(self) -> bool:
        """Of one that was answered."""
        return not self.answer.exception() and self.answer.result()


class AppriseNotifier:
    """Implements Notifier. Apprise is imported when something is sent: that takes most of a second."""

    def __init__(self, addresses: Sequence[str], *, longest: timedelta = LONGEST_SEND) -> None:
        """longest: how long one target is waited for. Raises InvalidInput where there are targets and no Apprise."""
        self._longest, self._asked = longest, dict[str, _Asked]()
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
        if (asked := self._asked.get(target)) and asked.thread.is_alive():
            raise Unavailable(f"{self._name(target)} has not answered to an earlier notice yet")
        if asked and asked.notice == (title, text) and asked.taken:
            return  # after it was given up
        asked = self._asked[target] = self._ask(target, title, text)
        asked.thread.join(self._longest.total_seconds())
        if not asked.answer.done():
            raise Unavailable(f"{self._name(target)} did not answer within {self._longest.total_seconds():g} s")
        if error := asked.answer.exception():
            raise Unavailable(f"{self._name(target)} ended with {type(error).__name__}") from error
        if not asked.taken:
            raise Unavailable(f"{self._name(target)} did not take it")

    def _ask(self, target: str, title: str, text: str) -> _Asked:
        """By a thread: Apprise bounds each read, which a target that answers byte by byte outlasts."""
        plugin, answer = self._plugin(target), Future[bool]()

        def ask() -> None:
            try:
                answer.set_result(plugin.notify(body=text, title=title, body_format="text"))
            except Exception as error:  # noqa: BLE001 (a hundred plugins of others: the next target is asked)
                answer.set_exception(error)

        thread = threading.Thread(target=ask, name="notice", daemon=True)
        thread.start()
        return _Asked((title, text), thread, answer)

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
