"""Looking back: history, verification, reconciliation."""

import json
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.bootstrap import desk, own_desk, signer
from pipeline.cli import tables
from pipeline.cli.app import Json, Model, app, copy, note, print_out, say, to_the_second, write
from pipeline.governance.errors import IntegrityFailure, InvalidInput, LedgerBusy, SignoffError, Unavailable
from pipeline.governance.record.ledger import StoredEvent, iso
from pipeline.governance.rules.decide import RECONCILE_AFTER
from pipeline.governance.service import GovernanceService
from pipeline.governance.service.notices import not_sent
from pipeline.governance.text import parse_time, visible
from pipeline.settings import read_settings

ledger = typer.Typer(name="ledger", help="Look after the ledger's own tables.", no_args_is_help=True)
app.add_typer(ledger)

Expect = Annotated[str | None, typer.Option(help="Refuse unless the differences are still in this state.")]
Checkpoints = Annotated[
    list[Path] | None,
    typer.Option("--checkpoint", help="A checkpoint file that was kept elsewhere; may be given several times."),
]


@app.command()
def history(
    model: Model,
    at: Annotated[str | None, typer.Option(help="A time such as 2026-11-24T09:00Z: who was champion then?")] = None,
    export: Annotated[Path | None, typer.Option(help="Write the ledger to a file that others can check.")] = None,
    as_json: Json = False,
) -> None:
    """Show who decided what, when and why, oldest first."""
    service = desk()
    # Beside the output, which stays what other tools read.
    if why := service.silence():
        typer.echo(f"{why.rstrip('.')}; {service.whose_record()}", err=True)
    if export is not None:
        if at is not None:
            raise InvalidInput("history: --at and --export are two questions; ask one")
        write(export, service.export(model))
        print_out(as_json, {"export": str(export)}, lambda: tables.exported(model, export))
        return
    if at is not None:
        moment = service.at(model, parse_time(at))
        print_out(as_json, moment.as_json(), lambda: tables.moment(moment))
        return
    entries = service.history(model)
    print_out(as_json, [entry.as_json() for entry in entries], lambda: tables.history(entries))


@app.command()
def export(
    decision: Annotated[int, typer.Argument(help="Number of the decision, see history.", min=1, show_default=False)],
    zip_file: Annotated[Path, typer.Option("--zip", metavar="FILE", help="Where to write it.", show_default=False)],
    checkpoint: Checkpoints = None,
    as_json: Json = False,
) -> None:
    """Write all that was recorded about a decision as a zip that is checked without Signoff, by `python verify.py`.

    Where another host decided, --checkpoint takes its file along.
    """
    from pipeline.evidence_pack import evidence_pack

    with evidence_pack(desk(), decision, checkpoint or ()) as pack:
        size, digest = copy(pack, zip_file)
    content = {"export": str(zip_file), "decision": decision, "size": size, "sha256": digest}
    print_out(as_json, content, lambda: tables.packed(zip_file, digest))


@app.command()
def verify(
    new: Annotated[bool, typer.Option("--new", help="The registry is meant to be one that is not known yet.")] = False,
    checkpoint: Checkpoints = None,
    as_json: Json = False,
) -> None:
    """Check the ledger, the registry against it, and the files in use; exit code 7 where something is wrong.

    A registry that the ledger does not know, beside others that it does, is wrong too, unless it is meant to be new.
    """
    service = desk()
    problems = service.verify(new=new, checkpoints=checkpoint or ())
    unprotected = None if checkpoint else service.unprotected()
    notes = [*service.set_back(), *([unprotected] if unprotected else [])]
    content: dict[str, Any] = {"ok": not problems, "problems": [problem.as_json() for problem in problems]}
    if notes:
        content["notes"] = notes
    print_out(as_json, content, lambda: tables.verified(problems, notes))
    if problems:
        raise typer.Exit(IntegrityFailure.exit_code)


@app.command()
def reconcile(
    model: Annotated[str | None, typer.Argument(help="Only this model.", show_default=False)] = None,
    adopt: Annotated[bool, typer.Option("--adopt", help="Take what the registry holds as recorded.")] = False,
    revert: Annotated[bool, typer.Option("--revert", help="Put the registry back to what the ledger says.")] = False,
    reason: Annotated[str, typer.Option(help="Why, in 10 to 2,000 characters.")] = "",
    expect: Expect = None,
    min_age: Annotated[
        float, typer.Option(min=0, help="Finish decisions that are pending for so many seconds; 0: at once.")
    ] = RECONCILE_AFTER.total_seconds(),
    watch: Annotated[
        float | None, typer.Option(min=0.1, help="Go on, with so many seconds between two passes, until SIGTERM.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Finish what a crash left and record what moved by another way; --adopt or --revert ends the differences.

    With --watch it is a service: one line per pass that recorded something, and silence between. Otherwise it shows the
    state of each model's differences, which --expect takes back, and has exit code 7 where files are not those
    recorded, or the ledger knows other registries and not this one.
    """
    _check_options(model, adopt, revert, expect)
    if watch is not None and adopt | revert:
        raise InvalidInput("reconcile: --watch ends no difference; leave out --adopt and --revert")
    settings = read_settings()
    # Recording what is there is nobody's decision: the desk does it by itself, as in a service that runs for months.
    service = own_desk(settings)
    if watch is not None:
        watched = ReconcileWatch(service, model, timedelta(seconds=min_age), as_json=as_json)
        watched.run(watch)
        return
    events = service.reconcile(model, min_age=timedelta(seconds=min_age))
    if model is not None and (adopt or revert):
        end = service.adopt if adopt else service.revert
        events.append(end(model, reason=reason, actor=signer(desk(settings), settings), expect=expect))
    _tell_reconciled(service, model, events, as_json)


def _tell_reconciled(
    service: GovernanceService, model: str | None, events: Sequence[StoredEvent], as_json: bool
) -> None:
    """Tells people and prints what was recorded and what is still different. Raises Exit where files are others."""
    notices = _send_notices(service)
    found = service.unresolved(model)  # what was recorded just now makes the registry known
    recorded = [{"sequence": each.sequence, "type": each.event.type, "model": each.event.model} for each in events]
    print_out(as_json, {"events": recorded, **found.as_json()}, lambda: tables.reconciled(events, found))
    if notices:
        note(notices)
    if found.problems:
        raise typer.Exit(IntegrityFailure.exit_code)


@ledger.command()
def upgrade(
    new: Annotated[bool, typer.Option("--new", help="Make the tables where there is no ledger yet.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the tables of an older ledger up to this version, as its next write would; what is in them stays."""
    done = own_desk().upgrade_ledger(new=new)
    print_out(as_json, {"from": done.before, "to": done.after}, lambda: tables.upgraded(done))


@dataclass
class ReconcileWatch:
    """Reconciles again and again, through outages of registry and ledger. Any number may run at once, on any host:
    what one has recorded or finished, another one finds done.
    """

    service: GovernanceService
    model: str | None  # None: every model
    min_age: timedelta  # of a decision that is finished for whoever left it
    as_json: bool = False
    _trouble: str = ""  # what was last said of it: the same is said once

    def run(self, seconds: float) -> None:
        """Until SIGTERM or Ctrl-C; a pass that has begun is finished."""
        ended = threading.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: ended.set())
        note(f"reconcile: every {seconds:g} s")
        while not ended.is_set():
            self.look()
            ended.wait(seconds)

    def look(self) -> None:
        """One pass. Raises no SignoffError: the next one tries again."""
        try:
            events = self._pass()
        except SignoffError as error:
            self._tell(f"{type(error).__name__}: {error}")
            return
        if events:
            self._say(events)

    def _pass(self) -> list[StoredEvent]:
        """In a registry that the ledger does not know a person records the first event: the address may be wrong."""
        unknown = self.service.unknown_registry()
        events = [] if unknown else self.service.reconcile(self.model, min_age=self.min_age)
        self._tell(unknown or _send_notices(self.service))
        return events

    def _say(self, events: Sequence[StoredEvent]) -> None:
        recorded = [{"sequence": each.sequence, "type": each.event.type, "model": each.event.model} for each in events]
        if self.as_json:
            say(json.dumps({"at": iso(events[-1].event.at), "events": recorded}, ensure_ascii=False) + "\n")
        else:
            told = ", ".join(
                f"{each.event.type.value} of {each.event.model} (event {each.sequence})" for each in events
            )
            say(f"{to_the_second(events[-1].event.at)} {visible(told)}\n")
        sys.stdout.flush()

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            note(f"reconcile: {trouble or 'goes on'}")
        self._trouble = trouble


def _send_notices(service: GovernanceService) -> str:
    """Sends what people are to be told; gives what could not be sent, as a sentence. No reason to end."""
    try:
        service.send_notices()
        return not_sent(service.unsent_notices())
    except (Unavailable, LedgerBusy) as error:
        return f"notices: {error}"


def _check_options(model: str | None, adopt: bool, revert: bool, expect: str | None) -> None:
    """Raises InvalidInput before anything is read or written."""
    if (adopt or revert) and (model is None or adopt == revert):
        raise InvalidInput("reconcile: --adopt and --revert need a MODEL, and only one of the two")
    if expect is not None and not (adopt or revert):
        raise InvalidInput("reconcile: --expect belongs to --adopt or --revert")
