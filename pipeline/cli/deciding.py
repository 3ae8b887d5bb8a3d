"""Deciding: each verb is one request to the service."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.bootstrap import desk, signer
from pipeline.cli import tables
from pipeline.cli.app import (
    AcceptWarnings,
    Evidence,
    Expect,
    Json,
    Key,
    Model,
    Reason,
    Recompute,
    Version,
    app,
    print_out,
)
from pipeline.governance.lifecycle import parse_stage
from pipeline.governance.service.news import who_was_faster
from pipeline.settings import read_settings

if TYPE_CHECKING:
    from pipeline.governance.rules.decide import Options, Outcome


@app.command()
def promote(
    model: Model,
    version: Version,
    stage: Annotated[str, typer.Argument(help="Staging, Production, Archived or None.", show_default=False)],
    reason: Reason,
    evidence: Evidence = None,
    expect: Expect = None,
    accept_warnings: AcceptWarnings = False,
    recompute: Recompute = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Move a version to a stage; Production also makes it champion."""
    settings, options = read_settings(), _options(evidence, expect, accept_warnings, key, recompute=recompute)
    wanted = parse_stage(stage)
    service = desk(settings)
    with who_was_faster(service, model, expect):
        outcome = service.promote(model, version, wanted, reason=reason, actor=signer(service, settings), **options)
    _decided(outcome, as_json)


@app.command()
def alias(
    model: Model,
    alias: Annotated[str, typer.Argument(help="Name of the alias.", show_default=False)],
    version: Version,
    reason: Reason,
    evidence: Evidence = None,
    expect: Expect = None,
    accept_warnings: AcceptWarnings = False,
    recompute: Recompute = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Point an alias at a version; champion also moves it to Production."""
    settings, options = read_settings(), _options(evidence, expect, accept_warnings, key, recompute=recompute)
    service = desk(settings)
    with who_was_faster(service, model, expect):
        outcome = service.set_alias(model, alias, version, reason=reason, actor=signer(service, settings), **options)
    _decided(outcome, as_json)


@app.command()
def unalias(
    model: Model,
    alias: Annotated[str, typer.Argument(help="Name of the alias.", show_default=False)],
    reason: Reason,
    evidence: Evidence = None,
    expect: Expect = None,
    accept_warnings: AcceptWarnings = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Take an alias away."""
    settings, options = read_settings(), _options(evidence, expect, accept_warnings, key)
    service = desk(settings)
    with who_was_faster(service, model, expect):
        outcome = service.remove_alias(model, alias, reason=reason, actor=signer(service, settings), **options)
    _decided(outcome, as_json)


@app.command()
def rollback(
    model: Model,
    reason: Reason,
    evidence: Evidence = None,
    expect: Expect = None,
    accept_warnings: AcceptWarnings = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Return to the previous champion, if its files are those recorded and it still predicts."""
    settings, options = read_settings(), _options(evidence, expect, accept_warnings, key)
    service = desk(settings)
    with who_was_faster(service, model, expect):
        outcome = service.rollback(model, reason=reason, actor=signer(service, settings), **options)
    _decided(outcome, as_json)


def _options(
    evidence: str | None, expect: str | None, accept_warnings: bool, key: str | None, *, recompute: bool = False
) -> "Options":
    return {
        "evidence": evidence,
        "expect": expect,
        "accept_warnings": accept_warnings,
        "recompute": recompute,
        "key": key,
    }


def _decided(outcome: "Outcome", as_json: bool) -> None:
    print_out(as_json, outcome.as_json(), lambda: tables.outcome(outcome))
