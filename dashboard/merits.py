"""Which version is better, as pages ask it: read once for all visitors, the long questions in other threads."""

from concurrent.futures import Future

from dashboard import caching, session
from pipeline.governance.errors import NotFound
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.rules.merit import Merit, Waiting


def primary_metric(model: str) -> str:
    """The metric that decides first."""
    return next(iter(session.metric_names(model)), session.settings().evaluation.primary_metric)


@caching.fresh()
def merit(model: str, version: int, reference: int) -> Merit:
    """What speaks for a version and against it, beside another one. Raises NotFound."""
    return session.desk().merit(model, version, reference, metric=primary_metric(model))


def beside_the_champion(evidence: Evidence) -> Merit | None:
    """What speaks for a version and against it beside the champion; None where that is it, or cannot be read."""
    champion = session.champion_of(evidence.model)
    if champion in (None, evidence.version):
        return None
    try:
        return merit(evidence.model, evidence.version, champion)
    except NotFound:
        return None


@caching.fresh(most=500, seconds=session.LOOK_SECONDS)
def waiting(
    model: str,
    champion: int | None,  # noqa: ARG001 (the answer is kept for them)
    versions: tuple[int, ...],  # noqa: ARG001
) -> Future[Waiting]:
    """The versions that wait in order of merit, found in another thread: their rows may take long to read and compare.

    champion, versions: as the page has them; a model that has moved since is another question.
    """
    service, metric = session.own_desk(), primary_metric(model)
    return session.LOOKING.submit(service.waiting, model, metric)
