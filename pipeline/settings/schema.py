"""The settings of the feature schema: what a row looks like."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.settings.file import SettingsSection, Word, Words


class TargetSettings(SettingsSection):
    """The column to predict."""

    name: Word
    description: str = ""
    # In the order in which screens show them.
    classes: Words = Field(min_length=2)


class NumberColumn(SettingsSection):
    """A column of numbers."""

    type: Literal["number"]
    # Text for people.
    unit: str = ""
    # Both ends are allowed themselves.
    minimum: float
    maximum: float
    default: float
    description: str = ""

    @model_validator(mode="after")
    def default_lies_inside(self) -> Self:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default} is not between {self.minimum} and {self.maximum}")
        return self


class CategoryColumn(SettingsSection):
    """A column of texts from a list."""

    type: Literal["category"]
    # In the order in which a form lists them.
    categories: Words = Field(min_length=1)
    default: Word
    description: str = ""

    @model_validator(mode="after")
    def default_is_a_category(self) -> Self:
        if self.default not in self.categories:
            raise ValueError(f"default {self.default!r} is not one of {', '.join(self.categories)}")
        return self


Column = Annotated[NumberColumn | CategoryColumn, Field(discriminator="type")]


class SchemaSettings(SettingsSection):
    """The feature schema: what a row looks like, column by column."""

    target: TargetSettings
    columns: dict[Word, Column] = Field(min_length=1)

    @property
    def numbers(self) -> dict[str, NumberColumn]:
        return {name: column for name, column in self.columns.items() if isinstance(column, NumberColumn)}

    @property
    def categories(self) -> dict[str, CategoryColumn]:
        return {name: column for name, column in self.columns.items() if isinstance(column, CategoryColumn)}
