"""What a model's folder says about the model: MLmodel and the JSON files under `signoff/`, parsed as data."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.adapters.mlflow.folder import MLMODEL
from pipeline.governance.errors import NotFound
from pipeline.governance.ports import File, Gap, Json, ModelFiles
from pipeline.validation.documents import read_json, read_yaml

MOST_MLMODEL_BYTES = 1024**2
MOST_DOCUMENT_BYTES = 5 * 1024**2
FOLDER, ENDING = "signoff/", ".json"

NO_MLMODEL = ModelFiles(
    files=(), gaps=(Gap("no_mlmodel", "The folder has no MLmodel file at its top, so nothing in it was read."),)
)

Read = Callable[[str, int], bytes]  # (path inside the folder, most bytes) → content; raises NotFound


@dataclass
class _Description:
    flavors: tuple[str, ...] = ()
    signature: dict[str, Json] | None = None
    has_input_example: bool = False
    gaps: list[Gap] = field(default_factory=list)


def described(files: Iterable[File], read: Read) -> ModelFiles:
    """The manifest together with what its files say; whatever cannot be read is a gap."""
    manifest = tuple(sorted(files, key=lambda file: file.path))
    model = _description(read)
    documents: dict[str, Json] = {}
    for file in manifest:
        if name := _document_name(file.path):
            try:
                documents[name] = read_json(read(file.path, MOST_DOCUMENT_BYTES))
            except (NotFound, ValueError) as error:
                text = f"The file {file.path} cannot be read: {_reason(error)}."
                model.gaps.append(Gap(f"document_unreadable:{name}", text))
    return ModelFiles(
        files=manifest,
        flavors=model.flavors,
        signature=model.signature,
        has_input_example=model.has_input_example,
        documents=documents,
        gaps=tuple(model.gaps),
    )


def _document_name(path: str) -> str | None:
    name = path.removeprefix(FOLDER).removesuffix(ENDING)
    return name if path == f"{FOLDER}{name}{ENDING}" and "/" not in name else None


def _description(read: Read) -> _Description:
    try:
        content = read_yaml(read(MLMODEL, MOST_MLMODEL_BYTES))
        found = _Description(flavors=_flavors(content))
    except (NotFound, ValueError) as error:
        return _Description(gaps=[Gap("mlmodel_unreadable", f"The file MLmodel cannot be read: {_reason(error)}.")])
    found.has_input_example = bool(content.get("saved_input_example_info"))
    found.signature = _signature(content.get("signature"), found.gaps)
    if not found.has_input_example:
        found.gaps.append(Gap("no_input_example", "The version came without an input example."))
    return found


def _flavors(content: object) -> tuple[str, ...]:
    flavors = content.get("flavors") if isinstance(content, Mapping) else None
    if not isinstance(flavors, Mapping):
        raise ValueError("it names no flavors")  # noqa: TRY004 (a fault of the file, not of the program)
    return tuple(sorted(map(str, flavors)))


def _signature(content: object, gaps: list[Gap]) -> dict[str, Json] | None:
    """MLmodel holds the two halves as JSON in strings."""
    halves = content if isinstance(content, Mapping) else {}
    try:
        signature = {half: _columns(halves.get(half)) for half in ("inputs", "outputs")}
    except ValueError as error:
        gaps.append(Gap("signature_unreadable", f"The signature in MLmodel cannot be read: {_reason(error)}."))
        return None
    if not any(signature.values()):
        gaps.append(Gap("no_signature", "The version has no signature: which columns it takes is not recorded."))
        return None
    return signature


def _columns(text: object) -> list[Json]:
    if text is None:
        return []
    if not isinstance(text, str):
        raise ValueError("it is not JSON in a string")  # noqa: TRY004 (a fault of the file, not of the program)
    columns = read_json(text)
    if not isinstance(columns, list):
        raise ValueError("it is not a list of columns")  # noqa: TRY004 (a fault of the file, not of the program)
    return columns


def _reason(error: Exception) -> str:
    """Without the content of the file, which parsers quote."""
    if isinstance(error, NotFound):
        return "it is missing or too large"
    return str(error)
