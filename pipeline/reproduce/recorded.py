"""What a version says about its own training, read from the registry as data and checked before anything uses it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints, ValidationError

from pipeline.governance.errors import NotFound, Refused
from pipeline.governance.ports import Json, ModelReader
from pipeline.governance.record.documents import EVALUATION_ROWS, TrainingEnvironment, document_path, parse_lineage
from pipeline.governance.record.evidence import OUR_TAG, OUR_VALUE

LINEAGE, SETTINGS, EVALUATION = "lineage", "training_settings", "evaluation"
# The recipe's name in the rebuild: a recorded name would become the name of a folder.
REBUILT = "rebuilt"
NO_SETTINGS = (
    "The training settings were not recorded: candidate and split are those of the version, data, schema and "
    "evaluation those of params.yaml in the commit."
)
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class GitFacts(BaseModel, frozen=True):
    """The state of the checkout that trained; None where it was not recorded."""

    commit: Commit | None
    # Whether files differed from the commit.
    dirty: bool | None = None
    # Names of the first files that differed.
    changed: list[str] | None = None


class DataFacts(BaseModel, frozen=True):
    """The rows that were trained on."""

    # The name of a file, or SAMPLE_NAME.
    source: str
    # Of the file's bytes; for the sample, of its CSV text.
    sha256: Digest


class SplitFacts(BaseModel, frozen=True):
    """The two settings of the split; the rest of the recorded object is counts."""

    test_share: float
    seed: int


class CandidateFacts(BaseModel, frozen=True):
    """The recipe with the random state that was used."""

    name: str
    estimator: str
    parameters: dict[str, Any]
    body_mass_index: bool


class RecordedLineage(BaseModel, frozen=True):
    """The parts of `lineage.json` without which nothing can be rebuilt; every version of ours has them."""

    data: DataFacts
    split: SplitFacts
    candidate: CandidateFacts
    git: GitFacts
    # Of the parameters and fitted values: equal for models that compute the same.
    fingerprint: Digest


@dataclass(frozen=True)
class RecordedVersion:
    """A version with what its files say about its training."""

    model: str
    version: int
    lineage: RecordedLineage
    # Where it was trained, and the same as the document has it.
    environment: TrainingEnvironment
    environment_facts: Mapping[str, Json]
    # Sections of `params.yaml` that are laid over the commit's own; the recipe is the candidate `rebuilt`.
    settings: Mapping[str, Json]
    # `evaluation.json` as it came: the rebuild's is compared with it number by number.
    evaluation: Mapping[str, Json]
    # The evaluation rows with predictions, as Parquet.
    rows: bytes
    # What was not recorded, in sentences.
    notes: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.model} version {self.version}"


def read_recorded(reader: ModelReader, model: str, version: int) -> RecordedVersion:
    """The version with its records. Raises NotFound, Refused for a version of another producer, Unavailable."""
    label = f"{model} version {version}"
    record = reader.version(model, version)
    if record.row.tags.get(OUR_TAG) != OUR_VALUE:
        raise Refused(f"{label}: was not made by this pipeline, so there is no recipe to rebuild it from")
    documents = reader.files(record).documents
    try:
        lineage = RecordedLineage.model_validate(documents.get(LINEAGE))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the document"
        raise NotFound(
            f"{label}: {document_path(LINEAGE)} has no usable record of {where} ({problem['msg']})"
        ) from error
    evaluation = documents.get(EVALUATION)
    if not isinstance(evaluation, dict):
        raise NotFound(
            f"{label}: {document_path(EVALUATION)} is missing or damaged, so there is nothing to compare with"
        )
    settings, gaps = _settings(documents.get(SETTINGS), lineage)
    origin = parse_lineage(documents.get(LINEAGE))
    return RecordedVersion(
        model=model,
        version=version,
        lineage=lineage,
        environment=origin.environment,
        environment_facts=origin.environment_facts,
        settings=settings,
        evaluation=evaluation,
        rows=reader.read_file(record, EVALUATION_ROWS),
        notes=(*gaps, *_about_the_tree(lineage.git, settings_kept=not gaps)),
    )


def _settings(document: Json, lineage: RecordedLineage) -> tuple[dict[str, Json], tuple[str, ...]]:
    """The settings that are laid over the commit's params.yaml, and a sentence for what is missing in them."""
    recipe = lineage.candidate.model_dump(exclude={"name"})
    if not isinstance(document, dict):
        return {"candidates": {REBUILT: recipe}, "split": lineage.split.model_dump()}, (NO_SETTINGS,)
    sections = {name: document[name] for name in ("data", "schema", "split", "evaluation") if name in document}
    return {**sections, "candidates": {REBUILT: recipe}}, ()


def _about_the_tree(git: GitFacts, *, settings_kept: bool) -> tuple[str, ...]:
    """Which files differed from the commit; params.yaml does not matter where the settings were recorded."""
    if git.dirty is None:
        return ("Whether the files differed from the commit was not recorded.",)
    if git.dirty and git.changed is None:
        return ("Files differed from the commit when it was trained; which ones was not recorded.",)
    changed = [name for name in git.changed or () if not (settings_kept and name == "params.yaml")]
    return (f"Files differed from the commit when it was trained: {', '.join(changed)}.",) if changed else ()
