"""Every table and line that the verbs print for people."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.cli.app import digits, json_cell, line, signed, table, to_the_second, when
from pipeline.governance.record.history import UNREADABLE, given_out_again, one_line_each
from pipeline.governance.record.out_of_band import state_text
from pipeline.governance.record.telling import change_or_wish, event_word, name_of
from pipeline.governance.rules.reconcile import pending_sentence
from pipeline.governance.text import signed as signed_figure

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.governance.ports import ModelRecord, Upgrade, VersionRow
    from pipeline.governance.record.documents import Lineage
    from pipeline.governance.record.evidence import Evidence
    from pipeline.governance.record.history import Entry, Moment
    from pipeline.governance.record.ledger import StoredEvent
    from pipeline.governance.record.requests import RequestView
    from pipeline.governance.rules.compare import Best, Comparison, Differences, MetricRow
    from pipeline.governance.rules.decide import Outcome
    from pipeline.governance.rules.merit import Waiting
    from pipeline.governance.rules.reconcile import IntegrityProblem, Unresolved
    from pipeline.governance.rules.review import Review
    from pipeline.governance.rules.signing.approval import Approved
    from pipeline.governance.rules.signing.override import OpenOverride
    from pipeline.reproduce.reproduce import Reproduction
    from pipeline.serving.batch.batch import Scored
    from pipeline.serving.predictions import Explanations, Predictions
    from pipeline.serving.trust import TrustState


# What `show` prints of the lineage; `--json` has all of it.


def models(records: "Sequence[ModelRecord]") -> None:
    rows = [[each.name, each.versions, each.aliases.get("champion"), each.latest, each.description] for each in records]
    table(["Model", "Versions", "Champion", "Latest", "Description"], rows, empty="The registry has no models.")


def versions(rows: "Sequence[VersionRow]", metrics: Sequence[str]) -> None:
    names = list(dict.fromkeys(metrics))
    lines = [
        [row.version, row.stage.value, ", ".join(row.aliases), row.status, row.tags.get("model_type")]
        + [digits(row.metrics.get(name)) for name in names]
        + [when(row.created_at)]
        for row in rows
    ]
    heads = ["Version", "Stage", "Aliases", "Status", "Type", *names, "Created (UTC)"]
    table(heads, lines, empty="The model has no versions.")


def best(found: "Best", trust: "TrustState") -> None:
    versions([found.row], [found.metric])
    line(f"Best of all versions: the {found.direction.value} {found.metric}.")
    if found.left_out:
        line(f"Left out, for a share lies between 0 and 1: version {', '.join(map(str, found.left_out))}.")
    _not_to_be_trusted(found.row.version, trust)


def waiting(found: "Waiting", top: int | None, trust: "TrustState | None") -> None:
    """Those that wait, the best one first. top: the version that should serve, or serves. trust: in it."""
    rows = [
        [
            each.version,
            each.model_type,
            digits(each.metric.value) if each.metric else None,
            signed(each.merit.primary.difference) if each.merit and each.merit.primary else None,
            (each.merit.overall if each.merit else None) or "not compared",
            each.merit.latency.phrase("slower", "faster") or "about as fast"
            if each.merit and each.merit.latency
            else None,
            each.checks,
        ]
        for each in found.contenders
    ]
    heads = ["Version", "Type", found.metric, "Difference", "Beside the champion", "Latency", "Gates"]
    table(heads, rows, empty="No version waits in Staging.")
    if found.left_out:
        line(f"{found.left_out:,} more wait; those with the best {found.metric} as logged are compared.")
    if found.sentence:
        line(found.sentence)
    if top is not None and trust is not None:
        _not_to_be_trusted(top, trust)


def _not_to_be_trusted(version: int, trust: "TrustState") -> None:
    """Says so of a version that may not be used, or that nobody decided to let serve; of others nothing."""
    if not trust.usable or trust.state == "not approved here":
        line(f"But version {version} is {trust.state.value}: {trust.reason}.")


def evidence(found: "Evidence") -> None:
    from pipeline.validation.schema import shown_json

    content = found.content
    facts = ("model", "version", "stage", "aliases", "status", "run_id", "created_at", "source", "description")
    table(
        ["", ""],
        [[name, content[name]] for name in facts] + [["evidence", found.digest], ["digest", found.file_digest]],
    )
    metrics = [
        [each.name, digits(each.value), digits(each.low), digits(each.high), each.n, each.dataset or None]
        for each in found.metrics()
    ]
    columns = 6 if found.datasets else 5
    heads = ["Metric", "Value", "Low", "High", "n", "Dataset"]
    table(heads[:columns], [each[:columns] for each in metrics], empty="No metrics.")
    table(["Lineage", ""], _lineage(found.lineage), empty="No lineage.")
    files = [[each["path"], each["size"], each["sha256"]] for each in content["files"]]
    table(["File", "Bytes", "sha256"], files, empty="No files.")
    if refusals := shown_json(found)["cannot_be_given"]:
        table(["Cannot be given here"], [[each] for each in refusals])
    table(["Missing", "Why"], [[gap.name, gap.text] for gap in found.gaps], empty="Nothing is missing.")


def _lineage(found: "Lineage") -> list[list[object]]:
    environment = found.environment
    facts = {
        "data.source": found.data.get("source"),
        "data.sha256": found.data.get("sha256"),
        "git.commit": found.commit,
        "git.changed": list(found.changed or ()),
        "environment.python": environment.python,
        "environment.lock_sha256": environment.lock_sha256,
        "environment.processor.features": list(environment.processor_features or ()),
        "environment.processor.blas": environment.blas,
    }
    return [[name, value] for name, value in facts.items() if value not in (None, [])]


# Reviews and comparisons, as the verbs print them.


def review(found: "Review") -> None:
    failed = {"prevent": "BLOCKS", "warn": "warns", "allow": "noted"}
    rows = [
        [gate.label, "passed" if gate.passed else failed[gate.mode.value], gate.observed, gate.required, gate.why]
        for gate in found.gates
    ]
    table(["Gate", "Verdict", "Observed", "Required", "Why"], rows)
    if found.recomputation is not None:
        claims = [
            [each.name, each.source, f"{each.claimed:.10f}", f"{each.recomputed:.10f}", "" if each.holds else "DIFFERS"]
            for each in found.recomputation.claims
        ]
        table(["Claim", "Made by", "Claimed", "Recomputed", ""], claims, empty="No claim could be recomputed.")
    answer = "open" if found.open else "blocked"
    line(f"{found.move.target}: {answer}")
    line(f"evidence {found.evidence.digest}")
    line(f"state {found.state}")


def comparison(found: "Comparison") -> None:
    names = [f"Version {each.version}" for each in (found.a, found.b)]
    if found.warning:
        line(found.warning.text)
    _lines("Metric", names, found.metrics)
    if found.paired and (agreed := found.paired.agreement):
        line(
            f"Of {agreed.n:,} rows: both right {agreed.both_right:,}, only version {found.a.version} right "
            f"{agreed.only_a_right:,}, only version {found.b.version} right {agreed.only_b_right:,}; "
            f"predicted differently {agreed.flipped:,}. McNemar's exact test of the accuracy: p = {agreed.p_value:.4g}."
        )
        _lines("Recall of class", names, found.classes)
    if found.paired:
        _lines("Accuracy in slice" if found.paired.agreement else "Mean absolute error in slice", names, found.slices)
    parts = {"Parameter": found.params, "Tag": found.tags, "Schema": found.schema, "Data": found.data}
    for head, differences in {**parts, "Environment": found.environment}.items():
        _different(head, names, differences)


def _lines(head: str, names: Sequence[str], lines: "Sequence[MetricRow]") -> None:
    rows = [
        [
            each.name,
            digits(each.a),
            digits(each.b),
            signed(each.difference),
            each.interval and " to ".join(map(signed_figure, each.interval)),
            each.n,
            each.verdict,
        ]
        for each in lines
    ]
    table([head, *names, "Difference", "Interval", "n", "Verdict"], rows, empty=f"{head}: nothing to compare.")


def _different(head: str, names: Sequence[str], differences: "Differences") -> None:
    rows = [[each.name, json_cell(each.a), json_cell(each.b)] for each in differences.different]
    table([head, *names], rows, empty=f"{head}: no differences, {differences.equal:,} equal.")


# What was decided, and whether ledger and registry agree, as the verbs print it.


def outcome(found: "Outcome") -> None:
    again = " (decided before, nothing changed now)" if found.replayed else ""
    line(f"Decision {found.sequence}{again}")
    rows = [[name_of(each), each.expected, each.to] for each in found.changes if each.expected != each.to]
    table(["What", "From", "To"], rows)
    if found.notice:
        line(f"Decision {found.sequence}: {found.notice}")


def request(found: "RequestView") -> None:
    line(f"Request {found.request.sequence}: {found.state.words}; {found.counted} of {found.needed} approvals")
    requests([found], ())
    line(f"evidence {found.request.binding.evidence}")
    line(f"state {found.request.binding.state}")


def approved(done: "Approved") -> None:
    if done.outcome is None:
        request(done.view)
    else:
        line(f"Request {done.view.request.sequence}: {done.view.state.words}")
        outcome(done.outcome)


def requests(found: "Sequence[RequestView]", overrides: "Sequence[OpenOverride]") -> None:
    """With the overrides that nobody else has looked at."""
    rows = [
        [
            each.request.sequence,
            each.request.model,
            each.request.version,
            each.request.to,
            each.request.signature,
            f"{each.counted} of {each.needed}",
            f"changed: {each.stale_sentence}" if each.stale else each.state.words,
            when(each.request.expires_at),
            each.request.reason,
        ]
        for each in found
    ]
    heads = ["ID", "Model", "Version", "To", "Requested by", "Approvals", "State", "Until (UTC)", "Reason"]
    table(heads, rows, empty="No request waits.")
    for each in overrides:
        gates = f", gates not passed: {', '.join(each.skipped)}" if each.skipped else ""
        unknown = ", who registered it is not known" if each.registrar_unknown else ""
        line(
            f"Override {each.sequence} by {each.signature}: {each.model} version {each.version} to {each.to}{gates}"
            f"{unknown}; nobody else has acknowledged it."
        )


def history(entries: "Sequence[Entry]") -> None:
    rows = [
        [
            each.number,
            each.at and to_the_second(each.at),
            event_word(each)[2:],
            each.signature,
            each.version,
            change_or_wish(each),
            _words(each),
        ]
        for each in one_line_each(entries)
    ]
    heads = ["No.", "At (UTC)", "Event", "Actor", "Version", "Change", "Reason"]
    table(heads, rows, empty="The ledger holds nothing about this model.")
    for sentence in given_out_again(entries):
        line(sentence)


def upgraded(done: "Upgrade") -> None:
    if done.before == done.after:
        line(f"The ledger's tables are those of this version: revision {done.after}.")
    elif done.before is None:
        line(f"The ledger's tables were made: revision {done.after}.")
    else:
        line(f"The ledger's tables were upgraded from revision {done.before} to {done.after}.")


def _words(entry: "Entry") -> str | None:
    if entry.why and entry.type is not UNREADABLE:
        return f"{entry.reason} Refused: {entry.why}"
    return entry.why or entry.reason


def moment(found: "Moment") -> None:
    if not found.known:
        line(f"{when(found.at)} UTC: {found.unknown}")
        return
    registered = f", registered {found.created_at}" if found.created_at else ""
    champion = "no champion" if found.champion is None else f"champion {found.champion}{registered}"
    line(f"{when(found.at)} UTC: {champion}")
    rows = [[version, stage] for version, stage in sorted(found.stages.items())]
    table(["Version", "Stage"], rows, empty="No version had a stage.")


def exported(model: str, file: "Path") -> None:
    line(f"{file}: every event of the ledger, and the evidence that those of {model} quote.")


def packed(file: "Path", digest: str) -> None:
    line(f"{file}: unpack it and run python verify.py.")
    line(f"sha256 {digest}")


def verified(found: "Sequence[IntegrityProblem]", notes: "Sequence[str]") -> None:
    """notes: what is worth knowing and no problem."""
    problems(found)
    for each in notes:
        line(f"Note: {each}.")


def problems(found: "Sequence[IntegrityProblem]") -> None:
    if not found:
        line("Clean: the ledger is whole, the registry agrees with it, the files in use are those recorded.")
        return
    table(["Kind", "Model", "Problem"], [[each.kind, each.model, each.plain or each.text] for each in found])


def reconciled(events: "Sequence[StoredEvent]", found: "Unresolved") -> None:
    """What was recorded just now, and what is left for a person to end."""
    rows = [[each.sequence, each.event.type.value, each.event.model] for each in events]
    table(["No.", "Event", "Model"], rows, empty="Nothing to record.")
    differences = [each for changes in found.differences.values() for each in changes]
    open_rows = [[each.slot.model, each.plain, when(each.since), when(each.seen)] for each in differences]
    heads = ["Model", "Difference", "After (UTC)", "Seen (UTC)"]
    unknown = any(each.kind == "registry" for each in found.problems)
    empty = "Nothing is recorded of this registry." if unknown else "Stages and aliases are as recorded."
    table(heads, open_rows, empty=empty)
    for model, changes in found.differences.items():
        line(f"State of {model}: {state_text(changes)}")
    for each in found.pending:
        line(f"{each.model}: {pending_sentence(each)}.")
    for model in found.gone:
        line(f"{model}: the registry does not have this model any more; it was renamed or deleted there.")
    if found.problems:
        problems(found.problems)


# Predictions, explanations and scored files, as the verbs print them.


def prediction(found: "Predictions") -> None:
    row = found.rows[0]
    if isinstance(row.value, Mapping):
        line(f"{found.model} version {found.version} predicts")
        table(["Column", "Prediction"], [[name, value] for name, value in row.value.items()])
    else:
        line(f"{found.model} version {found.version} predicts {row.value}")
    chances = sorted(row.probabilities.items(), key=lambda each: -each[1])
    if chances:
        table(["Class", "Probability"], [[name, digits(chance)] for name, chance in chances])
    for warning in (*found.notes, *row.warnings):
        line(f"Warning: {warning}")
    line(f"digest {found.digest}")


def explanation(found: "Explanations") -> None:
    document, row, top = found.documents[0], found.rows[0], found.top_class()
    effects = sorted(document["contributions"][top].items(), key=lambda each: -abs(each[1]))
    line(f"{found.model} version {found.version}, {top}: {digits(document['output'][top])} ({document['scale']})")
    for sentence in found.sentences():
        line(sentence)
    table(["Column", "Value", "Adds"], [[name, row.get(name), signed(effect)] for name, effect in effects])
    start, error = digits(document["base_values"][top]), document["sum_error"]
    says = "give" if found.adds_up else f"DO NOT GIVE, {found.tolerance:.0e} is allowed,"
    line(f"Starts from {start}; {document['method']}; the columns together {says} the answer to within {error:.1g}")
    fallback = f"Sampled, because {found.fallback}." if found.fallback else ""
    for note in filter(None, (fallback, found.background, *found.notes)):
        line(note)


def scored(found: "Sequence[Scored]") -> None:
    for each in found:
        line(f"{each.scored:,} of {each.rows:,} rows scored by version {each.version} of {each.model}: {each.output}")
        if each.bad:
            line(f"Refused rows: {each.bad:,}, in {each.bad_file}; the first: {each.first_problem}")
        if each.out_of_range:
            line(f"Rows with values outside the training data: {each.out_of_range:,}")
        if each.ignored:
            line(f"Columns that the model does not take: {', '.join(each.ignored)}")
    for note in dict.fromkeys(note for each in found for note in each.notes):
        line(f"Warning: {note}")


# What was trained and what was rebuilt, as the verbs print it.


def registered(found: Sequence[Any], champion: int | None, data: Sequence[str]) -> None:
    for sentence in data:
        line(sentence)
    rows = [[each.candidate, each.version, "new" if each.new else "was there", each.note] for each in found]
    table(["Candidate", "Version", "State", "Note"], rows)
    if champion is not None:
        line(f"Champion: version {champion}")


def reproduction(found: "Reproduction") -> None:
    answer = "DIFFERS" if found.differs else found.verdict.value
    where = f"rebuilt from commit {found.commit[:12]}, {found.rows:,} rows predicted again"
    line(f"{found.model} version {found.version}: {answer}; {where}, largest difference {found.largest_difference:.4g}")
    for title, differences in (("Differs", found.differences), ("Environment", found.conditions)):
        rows = [[each.part, each.name, json_cell(each.recorded), json_cell(each.rebuilt)] for each in differences]
        if rows:
            table([title, "Name", "Recorded", "Rebuilt"], rows)
    if found.differences and not found.conditions:
        line("Nothing that was recorded of the environment is another.")
    for note in found.notes:
        line(note)


def tokens(found: Sequence[Mapping[str, Any]]) -> None:
    columns = ("name", "role", "owner", "expires_at", "last_used_at", "state")
    rows = [[str(each[name] or "") for name in columns] for each in found]
    table(["Name", "Role", "Owner", "Expires (UTC)", "Last used (UTC)", "State"], rows, empty="There are no tokens.")
