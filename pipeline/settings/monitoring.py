"""The section `monitoring` of `params.yaml`: what is kept of the predictions that are answered."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.governance.lifecycle import CHAMPION
from pipeline.settings.file import SettingsSection, Word, Words


class LogSettings(SettingsSection):
    """The log of predictions."""

    # Whether there is one.
    enabled: bool = False
    # The share of the answers of which a row is stored; the others are only counted.
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
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
    # An alias whose version is asked about the same rows and answers nobody; null: none is.
    shadow: Word | None = None

    @model_validator(mode="after")
    def a_shadow_is_another_version_and_is_logged(self) -> Self:
        if self.shadow == CHAMPION:
            raise ValueError("shadow: must be another alias than champion, which answers already")
        if self.shadow is not None and not self.log.enabled:
            raise ValueError("shadow: needs monitoring.log.enabled, where its answers go")
        return self
