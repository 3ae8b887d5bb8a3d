"""How pages write numbers, times and states, and how text from the registry is made safe for markdown."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pipeline.governance import metrics
from pipeline.governance.lifecycle import Change, Move, MoveKind, Stage
from pipeline.governance.policy import Mode
from pipeline.governance.ports import MetricDifference
from pipeline.governance.record.evidence import Metric
from pipeline.governance.rules.gates import GateResult
from pipeline.governance.text import called, figure, signed, visible

NOTHING = "\N{EN DASH}"
BETTER, WORSE, ALIKE = "✓ Better", "✕ Worse", "≈ Not distinguishable"
VERDICTS = {"better": BETTER, "worse": WORSE, "not distinguishable": ALIKE}  # by the words of the comparison
PLAIN = re.compile(r"[A-Za-z0-9]+([ _-][A-Za-z0-9]+)*")
# Nothing of it is read as markdown: no brackets, marks or addresses, no list, and a colon only in a time.
PASSAGE = re.compile(
    r"(?![0-9]+[.)](?: |$))[A-Za-z0-9]"
    r"(?:[A-Za-z0-9 ,.;()%=/_\N{EN DASH}\N{MINUS SIGN}\N{RIGHTWARDS ARROW}\N{GREATER-THAN OR EQUAL TO}]"
    r"|(?<=\w)[-'](?=\w)|(?<=[0-9]):(?=[0-9]{2}\b))*"
)
BACKTICKS = re.compile(r"`+")
WORD = re.compile(r"[a-z]+(?![\w./-])")
PASSED, BLOCKS, WARNS, NOTED = "✓ Passed", "✕ Blocks", "! Warns", "· Noted"
FAILED = {Mode.PREVENT: BLOCKS, Mode.WARN: WARNS, Mode.ALLOW: NOTED}
TOLD_IN_SECONDS = 90  # above it, a duration is told in minutes
KILO = 1024
NO_STAGE = "no stage"
LONGEST_NAME, LONGEST_COLUMN = 60, 90
MINUTE, HOUR, DAY = 60, 3600, 86400  # seconds


def when(moment: datetime | None) -> str:
    return NOTHING if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def to_the_second(moment: datetime | None) -> str:
    """As `when`, for events, of which several may be in one minute."""
    return NOTHING if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def moment(text: object) -> str:
    """A time that somebody wrote in ISO 8601, in UTC; text that is no time stays as it is."""
    try:
        return when(datetime.fromisoformat(str(text)))
    except ValueError:
        return "" if text is None else str(text)


def number(value: float | None) -> str:
    """A metric, see text.figure."""
    return NOTHING if value is None else figure(value)


def interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f"{figure(low)} to {figure(high)}" if low < 0 else f"{figure(low)}\N{EN DASH}{figure(high)}"


def signed_interval(low: float, high: float) -> str:
    return f"{signed(low)} to {signed(high)}"


def spread(metric: Metric) -> str:
    """The interval and n of a metric, as far as they are known."""
    found = [interval(metric.low, metric.high), "" if metric.n is None else f"n = {metric.n:,}"]
    return ", ".join(each for each in found if each)


def measured(found: Metric) -> str:
    """A metric with its interval and n, as plain text."""
    known = spread(found)
    return f"{metric(found.name)} {number(found.value)}{f' ({known})' if known else ''}"


def difference(found: MetricDifference) -> str:
    """With its interval."""
    return f"{signed(found.difference)} ({signed_interval(found.low, found.high)})"


def ago(moment: datetime) -> str:
    """How long ago it was, in the largest unit that fits."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE)):
        if seconds >= length:
            return f"{count(int(seconds // length), unit)} ago"
    return "just now"


def size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n_bytes < KILO:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= KILO
    return f"{n_bytes:.1f} GB"


def duration(seconds: float) -> str:
    """To the second below a minute and a half, else to the minute."""
    return f"{seconds:.0f} s" if seconds < TOLD_IN_SECONDS else f"{seconds / 60:.0f} min"


def digest(sha256: str | None) -> str:
    return NOTHING if sha256 is None else sha256[:12]


def name(text: str) -> str:
    """A name for fields and cells, which are plain text: one line, with invisible characters made visible."""
    return visible(text, most=LONGEST_NAME)


def column(name_of: str, labels: Mapping[str, str]) -> str:
    """A column in a field or a cell: what people call it, its own name behind. labels: see FeatureSchema."""
    return visible(called(name_of, labels), most=LONGEST_COLUMN)


def slice_of(parts: Iterable[tuple[str, str]], labels: Mapping[str, str]) -> str:
    """What the rows of a slice have in common: "Gender is Female and Age is 21 to 24.5". labels: of the columns."""
    return " and ".join(f"{column(each, labels)} is {name(value)}" for each, value in parts)


def label(text: str) -> str:
    """A name for labels and headings, which are markdown: a plain one as it is, any other inside a code span."""
    shown = name(text)
    return shown.replace("_", r"\_") if PLAIN.fullmatch(shown) else code(shown)


def metric(text: str) -> str:
    """What people call a metric, as plain text."""
    return name(metrics.metric_label(text))


def metric_markdown(text: str) -> str:
    """The same for labels and headings, which are markdown."""
    return label(metrics.metric_label(text))


def metric_in_text(text: str) -> str:
    """What people call a metric in the middle of a sentence, as plain text."""
    return name(metrics.metric_in_text(text))


def metric_in_markdown(text: str) -> str:
    """The same for labels and captions, which are markdown."""
    return label(metric_in_text(text))


def metric_help(text: str) -> str:
    """What a metric measures and its name in the registry, as markdown; empty for one that we do not know."""
    return f"{metrics.METRIC_WORDS[text][1]} In the registry: {label(text)}." if text in metrics.METRIC_WORDS else ""


def passage(text: str) -> str:
    """A cell of a table that is markdown, whole: plain words as they are, anything else inside a code span."""
    shown = visible(text)
    plain = not shown or (PASSAGE.fullmatch(shown) and "www." not in shown.casefold())
    return shown.replace("_", r"\_") if plain else code(shown)


def small(markdown: str) -> str:
    """The same in small letters; with brackets in it, which would end them early, as it is."""
    return markdown if set("[]") & set(markdown) else f":small[{markdown}]"


def stage(word: str) -> str:
    """A stage as a badge shows it, where MLflow's "None" alone would not say what there is none of."""
    return "No stage" if word == Stage.NONE else word


def code(text: str) -> str:
    """A code span, in which nothing is read as markdown: its fence is longer than any run of backticks in the text."""
    shown = visible(text) or " "
    longest = max((len(run) for run in BACKTICKS.findall(shown)), default=0)
    fence, pad = "`" * (longest + 1), " " if "`" in shown else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def address(uri: str) -> str:
    """An address without user, password and query, which may be credentials."""
    split = urlsplit(uri)
    if not split.netloc:
        return visible(uri.partition("?")[0])
    return visible(f"{split.scheme}://{split.netloc.rpartition('@')[2]}{split.path}")


def count(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def verdict(gate: GateResult) -> str:
    return PASSED if gate.passed else FAILED[gate.mode]


def action(move: Move) -> str:
    """The label of the button that makes the move. It does not name an alias, which may be anybody's text."""
    if move.kind is MoveKind.ALIAS:
        return f"Set alias on version {move.version}"
    if move.kind is MoveKind.UNALIAS:
        return "Remove alias"
    if move.kind is MoveKind.ROLLBACK:
        return f"Roll back to version {move.version}"
    if move.kind is MoveKind.NONE:
        return f"Take version {move.version} out of its stage"
    return f"Move version {move.version} to {move.target}"


def sentence(text: str) -> str:
    """Text that is written for the middle of a line, as a sentence of its own. A file's name keeps its first letter."""
    first = text[:1].upper() if WORD.match(text) else text[:1]
    return f"{first}{text[1:].removesuffix('.')}."


def changes(planned: Iterable[Change]) -> str:
    """What a move changes, with one line per alias or stage."""
    return "\n".join(f"•  {_change(each)}" for each in planned if each.moves)


def _change(change: Change) -> str:
    slot = visible(change.slot.name)
    if change.slot.kind == "stage":
        before, after = (NO_STAGE if each == Stage.NONE else each for each in (change.expected, change.to))
        return f"Version {slot} moves from {before} to {after}."
    if change.to is None:
        return f"The alias {slot} is removed from version {change.expected}."
    if change.expected is None:
        return f"The alias {slot} is set on version {change.to}."
    return f"The alias {slot} moves from version {change.expected} to version {change.to}."
