"""The section `monitoring` of `params.yaml`: what is kept of the predictions that are answered, and what is watched."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.governance.lifecycle import CHAMPION
from pipeline.governance.rules.watching import WatchRules
from pipeline.settings.file import SettingsSection, Word, Words

Share = Annotated[float, Field(ge=0, le=1)]


class LogSettings(SettingsSection):
    """The log of predictions."""

    # Whether there is one.
    enabled: bool = False
    # The share of the answers of which a row is stored; the others are only counted.
    sample: Share = 1.0
    # Columns that are stored as they came.
    clear: Words = Field(default_factory=list)
    # Columns of which an HMAC under SIGNOFF_LOG_KEY is stored; those in neither list are not stored.
    keyed: Words = Field(default_factory=list)
    # How long rows are kept.
    days: int = Field(default=90, ge=1, le=36_500)

    @model_validator(mode="after")
    def a_column_is_stored_in_one_way(self) -> Self:
        if both := sorted({*self.clear} & {*self.keyed}):
            raise ValueError(f"keyed: {', '.join(both)} is under clear too")
        return self


class MonitoringSettings(SettingsSection):
    """What is watched of the champion in production."""

    log: LogSettings = Field(default_factory=LogSettings)
    # An alias whose version is asked about the same single rows and answers nobody; null: none is.
    shadow: Word | None = None
    # Minutes between two looks of the API process at what it answered; it records what somebody must look at.
    every_minutes: float = Field(default=60, gt=0, le=1_440)
    # The time that a look is about, up to the present hour.
    window_hours: int = Field(default=24, ge=1, le=8_784)
    # Rows below which nothing is a finding, and outcomes below which the accuracy that they show is none.
    fewest_rows: int = Field(default=100, ge=1)
    # Of the distributions that are called different, the share that may be so by chance.
    false_discovery_rate: float = Field(default=0.05, gt=0, lt=1)
    # Jensen-Shannon distance from which a difference is a finding, and from which it is a high one.
    effect: Share = 0.1
    high_effect: Share = 0.25

    def rules(self) -> WatchRules:
        """From when on a difference is a finding."""
        return WatchRules(
            window=timedelta(hours=self.window_hours),
            fewest_rows=self.fewest_rows,
            false_discovery_rate=self.false_discovery_rate,
            effect=self.effect,
            high_effect=self.high_effect,
        )

    @model_validator(mode="after")
    def a_high_finding_is_no_smaller_than_one(self) -> Self:
        if self.high_effect < self.effect:
            raise ValueError(f"high_effect: must be at least effect, {self.effect}")
        return self

    @model_validator(mode="after")
    def a_shadow_is_another_version_and_is_logged(self) -> Self:
        if self.shadow == CHAMPION:
            raise ValueError("shadow: must be another alias than champion, which answers already")
        if self.shadow is not None and not self.log.enabled:
            raise ValueError("shadow: needs monitoring.log.enabled, where its answers go")
        return self
