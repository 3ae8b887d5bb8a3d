"""What a request to the desk may say, as pydantic models, and what is wrong with it as one sentence.

Reasons, stages, aliases and times are checked by the functions of every other door, whose sentences come out unchanged.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, TypeAdapter
from pydantic import ValidationError as PydanticError
from pydantic.json_schema import SkipJsonSchema
from starlette.datastructures import QueryParams

from pipeline.governance.errors import InvalidInput
from pipeline.governance.lifecycle import MOST_ALIAS_CHARACTERS, Stage, check_alias, parse_stage
from pipeline.governance.reason import FEWEST_REASON_CHARACTERS, MOST_REASON_CHARACTERS, check_comment, check_reason
from pipeline.governance.text import parse_time, visible
from pipeline.monitoring.log_desk import MOST_CHARACTERS, MOST_OUTCOMES, UUID

MOST_NUMBER = 2**31 - 1  # of an INTEGER in every database
MOST_EVENTS = 1_000  # of a history in one answer
MOST_NAME = 80  # characters of a stranger's name in a sentence
NOT_RESERVED = r"(?![lL][aA][tT][eE][sS][tT]$|[vV][0-9]+$)"  # names that MLflow keeps for itself
ALIAS = rf"{NOT_RESERVED}[A-Za-z0-9_\-]{{1,{MOST_ALIAS_CHARACTERS}}}"
# What Python takes for white space around a text, and what it does not: regular expressions elsewhere know fewer.
SPACE, VISIBLE = r"[\s\x1c-\x1f\x85]", r"[^\s\x1c-\x1f\x85]"
STAGES = [stage.value for stage in Stage]


def _digits(value: object) -> object:
    """Numbers in an address are digits alone; in a body they are JSON's, to which 1.0 is a whole number."""
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise ValueError("must be a whole number")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _flag(value: object) -> object:
    if isinstance(value, str):
        if value not in {"true", "false"}:
            raise ValueError("must be true or false")
        return value == "true"
    return value


def _yes(value: bool) -> bool:
    if not value:
        raise ValueError("must be true")
    return value


def _alias(text: str) -> str:
    check_alias(text)
    return text


def _time(text: str) -> str:
    parse_time(text)
    return text


Reason = Annotated[
    str,
    AfterValidator(check_reason),
    Field(
        description="Why; kept in the ledger.",
        json_schema_extra={
            "minLength": FEWEST_REASON_CHARACTERS,
            "maxLength": MOST_REASON_CHARACTERS,
            "pattern": rf"^{SPACE}*{VISIBLE}[\s\S]{{{FEWEST_REASON_CHARACTERS - 2},}}{VISIBLE}{SPACE}*$",
            "examples": ["Better than the champion in every class."],
        },
    ),
]
Comment = Annotated[
    str,
    AfterValidator(check_comment),
    Field(
        description="Plain text.",
        json_schema_extra={"minLength": 1, "maxLength": MOST_REASON_CHARACTERS, "pattern": VISIBLE},
    ),
]
Number = Annotated[int, Field(ge=1, le=MOST_NUMBER), BeforeValidator(_digits)]
VersionNumber = Annotated[Number, Field(description="Number of the version in the registry.", examples=[1])]
StageName = Annotated[
    str,
    AfterValidator(parse_stage),
    Field(description="The stage that it moves to.", json_schema_extra={"enum": list[Any](STAGES)}),
]
AliasName = Annotated[
    str,
    AfterValidator(_alias),
    Field(description="Name of the alias.", json_schema_extra={"pattern": f"^{ALIAS}$"}),
]
Target = Annotated[
    str,
    Field(
        description="A stage, or `@ALIAS`.",
        json_schema_extra={"pattern": rf"^({'|'.join(STAGES)}|@{ALIAS})$", "examples": ["Staging"]},
    ),
]
SeenEvidence = Annotated[
    str | None, Field(description="The digest that was looked at (see review); refused when it is another one now.")
]
SeenState = Annotated[
    str | None, Field(description="The state that was looked at (see review); refused when it is another one now.")
]
Flag = Annotated[bool, BeforeValidator(_flag)]
Yes = Annotated[bool, AfterValidator(_yes), Field(json_schema_extra={"const": True})]
Recompute = Annotated[Flag, Field(description="Score the evaluation rows again, which takes seconds.")]
Model = Annotated[str, Field(description="Name of the registered model.", min_length=1)]


class DeskInput(BaseModel):
    """Nothing that is not listed is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(DeskInput):
    """No parameters."""


class VersionsQuery(DeskInput):
    """Which metrics a list of versions has."""

    metric: list[str] = Field(
        default=[], max_length=100, description="Only this metric; repeatable. Default: all that there are."
    )


REPEATABLE = frozenset(VersionsQuery.model_fields)


class ReviewQuery(DeskInput):
    """Which move is reviewed."""

    to: Target
    recompute: Recompute = False


class CompareQuery(DeskInput):
    """Which two versions are compared; differences are b minus a."""

    a: Annotated[Number, Field(description="Number of a version.", examples=[1])]
    b: Annotated[Number, Field(description="Number of another version.", examples=[2])]


class HistoryQuery(DeskInput):
    """Which events are wanted, or the state at a time."""

    at: Annotated[str, AfterValidator(_time)] | SkipJsonSchema[None] = Field(
        default=None,
        description="A time in ISO 8601, in UTC without an offset: who was champion then, instead of events.",
        json_schema_extra={"format": "date-time"},
    )
    before: Number | SkipJsonSchema[None] = Field(default=None, description="Only events with a smaller number.")
    limit: Annotated[int, BeforeValidator(_digits)] = Field(
        default=MOST_EVENTS, ge=1, le=MOST_EVENTS, description="So many events at most, the newest of them."
    )


class RequestsQuery(DeskInput):
    """Which requests are listed."""

    model: Model | SkipJsonSchema[None] = Field(default=None, description="Only about this model.")
    due: Flag = Field(
        default=False, description="Those that nobody can approve as they are, instead of those that wait."
    )


class DecisionInput(DeskInput):
    """Why somebody decides, and what they looked at and accept."""

    reason: Reason
    evidence: SeenEvidence = None
    expect: SeenState = None
    accept_warnings: bool = Field(default=False, description="Go on in spite of warnings.")


class PromoteInput(DecisionInput):
    """Which version moves to which stage."""

    version: VersionNumber
    stage: StageName
    recompute: Recompute = False


class AliasInput(DecisionInput):
    """Which alias points at which version from now on."""

    alias: AliasName
    version: VersionNumber
    recompute: Recompute = False


class UnaliasInput(DecisionInput):
    """Which alias is taken away."""

    alias: AliasName


class RollbackInput(DecisionInput):
    """The return to the previous champion."""


class RequestMove(DecisionInput):
    """A request that a version moves."""

    version: VersionNumber
    to: Target


class RequestUnalias(DecisionInput):
    """A request that an alias is taken away."""

    unalias: AliasName


class RequestRollback(DecisionInput):
    """A request for the return to the previous champion."""

    rollback: Yes = Field(description="Back to the previous champion.")


class RequestAdoption(DeskInput):
    """A request that what differs is taken as recorded."""

    reason: Reason
    evidence: SeenEvidence = None
    expect: SeenState = None
    adopt: Yes = Field(description="Take what the registry holds as recorded.")


WANTED = ("to", "unalias", "rollback", "adopt")
OF_A_REQUEST = {(name,) for name in WANTED}  # with what pydantic begins the path of a problem of each kind


def _wanted(value: object) -> str | None:
    """By which one of its keys a request says what is wanted."""
    found = [name for name in WANTED if name in value] if isinstance(value, Mapping) else []
    return found[0] if len(found) == 1 else None


RequestInput = Annotated[
    Annotated[RequestMove, Tag("to")]
    | Annotated[RequestUnalias, Tag("unalias")]
    | Annotated[RequestRollback, Tag("rollback")]
    | Annotated[RequestAdoption, Tag("adopt")],
    Discriminator(
        _wanted, custom_error_type="wanted", custom_error_message=f"request: give one of {', '.join(WANTED)}"
    ),
]


class ApproveInput(DeskInput):
    """An approval, and what was looked at: without that nobody approves by any door."""

    reason: Reason
    evidence: str = Field(min_length=1, description="The digest that was looked at (see requests).")
    expect: str = Field(min_length=1, description="The state that was looked at (see requests).")
    attest: list[str] = Field(default=[], max_length=100, description="Keys of the policy's sentences, confirmed.")


class CloseInput(DeskInput):
    """Why a request ends."""

    reason: Reason


class CommentInput(DeskInput):
    """A comment on a version, and on a request about it."""

    version: VersionNumber
    text: Comment
    request: Number | None = Field(default=None, description="Number of a request about the version.")


class OutcomeInput(DeskInput):
    """What turned out to be true of one prediction."""

    prediction_id: str = Field(description="As the answer had it.", json_schema_extra={"pattern": f"^{UUID.pattern}$"})
    actual: Any = Field(  # whoever keeps it says in the words of every door what it may be
        description="A class, a number or a truth value.",
        json_schema_extra={
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS},
                {"type": "number"},
                {"type": "boolean"},
            ]
        },
    )


class OutcomesInput(DeskInput):
    """Outcomes; the last one told of a prediction counts."""

    outcomes: list[OutcomeInput] = Field(
        description="At most as many as the body has room for.",
        json_schema_extra={"minItems": 1, "maxItems": MOST_OUTCOMES},
    )


# Sentences

WORDS = {
    "extra_forbidden": "is not a known key",
    "missing": "is missing",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    "greater_than_equal": "must be at least {ge:,}",
    "less_than_equal": "must be at most {le:,}",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "too_long": "has more than {max_length} entries",
}
OF_THE_BODY = frozenset({"model_type", "model_attributes_type", "dict_type"})


def parsed(wanted: "TypeAdapter[Any]", content: object, *, strict: bool) -> Any:  # noqa: ANN401 (whatever is wanted)
    """The content as the model that is wanted. Raises InvalidInput with the first problem."""
    try:
        return wanted.validate_python(content, strict=strict)
    except PydanticError as error:
        raise InvalidInput(_sentence(error)) from error


def _sentence(error: PydanticError) -> str:
    """A misspelt key comes before the one that it leaves missing."""
    found = error.errors(include_url=False, include_input=False)
    first = min(found, key=lambda each: each["type"] != "extra_forbidden")
    if first["type"] == "wanted":
        return first["msg"]
    if first["type"] in OF_THE_BODY:
        return "body: must be a JSON object"
    path = first["loc"][1:] if first["loc"][:1] in OF_A_REQUEST and len(first["loc"]) > 1 else first["loc"]
    where = visible(".".join(map(str, path)), most=MOST_NAME)
    words = WORDS.get(first["type"], "").format(**first.get("ctx", {}))
    return f"{where or 'body'}: {words or first['msg'].removeprefix('Value error, ')}"


def parse_body(wanted: "TypeAdapter[Any]", text: str) -> Any:  # noqa: ANN401 (whatever is wanted)
    """The body of a request. Raises InvalidInput, also for a key that is there twice."""
    try:
        content = json.loads(text, object_pairs_hook=_object)
        json.dumps(content, ensure_ascii=False).encode()  # JSON may hold half of a character, which is no text
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"body: is not valid JSON ({visible(str(error), most=MOST_NAME)})") from error
    return parsed(wanted, content, strict=True)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"{visible(twice, most=MOST_NAME)}: is there twice")
    return found


def parse_query(wanted: "TypeAdapter[Any]", query: QueryParams) -> Any:  # noqa: ANN401 (whatever is wanted)
    """The parameters of an address, of which those of REPEATABLE may be there several times. Raises InvalidInput."""
    content: dict[str, object] = {}
    for name in query:
        values = query.getlist(name)
        if name not in REPEATABLE and len(values) > 1:
            raise InvalidInput(f"{visible(name, most=MOST_NAME)}: is there twice")
        content[name] = values if name in REPEATABLE else values[0]
    return parsed(wanted, content, strict=False)


def parse_number(name: str, text: str) -> int:
    """A number in the path. Raises InvalidInput."""
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:11]) <= MOST_NUMBER:
        raise InvalidInput(f"{name}: must be a whole number from 1 to {MOST_NUMBER}")
    return int(text[:11])
