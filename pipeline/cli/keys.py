"""Keys that sign checkpoints: make one, and show which ones hold."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.bootstrap import own_desk, signing
from pipeline.cli.app import Json, app, line, print_out, table
from pipeline.governance.record.checkpoint import CheckpointKey
from pipeline.settings import Settings, read_settings

keys = typer.Typer(name="keys", help="Keys that sign the ledger's checkpoints.", no_args_is_help=True)
app.add_typer(keys)

First = Annotated[int | None, typer.Option("--from", min=1, help="The event from which it holds: the next one.")]


@keys.command()
def new(
    file: Annotated[Path, typer.Argument(help="Where the private key goes; nothing may be there.", show_default=False)],
    name: Annotated[str, typer.Option(help="What verify calls it, such as the host that signs with it.")] = "",
    first: First = None,
    as_json: Json = False,
) -> None:
    """Make a private key in a file, and print the lines that params.yaml needs."""
    from pipeline.adapters.signing import new_key

    settings = read_settings()
    begins = first or own_desk(settings).event_count() + 1
    key = CheckpointKey(name or file.stem, new_key(file), begins)
    print_out(as_json, {**_as_json(key), "file": str(file)}, lambda: _made(key, file, settings))


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """Show the keys of params.yaml, and with which one this host signs."""
    found = signing(read_settings())
    here = None if found.signer is None else found.signer.public
    content = [{**_as_json(key), "here": key.public == here} for key in found.keys]
    heads = ("name", "fingerprint", "holds", "signs here")
    rows = [(key.name, key.fingerprint, key.range, "yes" if key.public == here else "") for key in found.keys]
    print_out(as_json, content, lambda: table(heads, rows, empty="params.yaml names no keys under checkpoints.keys."))


def _as_json(key: CheckpointKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "fingerprint": key.fingerprint,
        "public": key.public,
        "from": key.first,
        "to": key.last,
    }


def _made(key: CheckpointKey, file: Path, settings: Settings) -> None:
    line(f"The private key {key.fingerprint} is in {file}. Name it on its host: SIGNOFF_SIGNING_KEY_FILE={file}")
    more = " under checkpoints.keys" if settings.checkpoints.keys else ""
    line(f"Then add to params.yaml{more}, on every host:")
    if not settings.checkpoints.keys:
        line("checkpoints:")
        line("  keys:")
    line(f"    - {{name: {key.name}, public: {key.public}, from: {key.first}}}")
