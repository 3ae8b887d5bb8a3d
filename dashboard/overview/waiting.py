"""The versions of a model that wait, in order of merit: which one is best, why, and whether it may be promoted now."""

from collections.abc import Iterable, Mapping, Set
from concurrent.futures import Future, wait

import streamlit as st

from dashboard import merits, pages, session
from dashboard.components import tables, trust, widgets, words
from dashboard.components.trust import Named, trust_badge
from pipeline.governance.record.history import ModelOverview
from pipeline.governance.rules.merit import MOST_COMPARED, Contender, Waiting

Looks = Mapping[str, Future[Waiting]]  # by model


def looks(models: Iterable[ModelOverview]) -> Looks:
    """Begins to compare the versions that wait with the champion of each model, in other threads."""
    return {
        each.record.name: merits.waiting(each.record.name, each.champion, each.waiting)
        for each in models
        if each.waiting
    }


def found(asked: Looks, champions: Mapping[str, int]) -> tuple[dict[str, Waiting], list[Future[Waiting]]]:
    """What is known within trust.GLANCE_SECONDS, and what is not; where it failed, the page lists the versions as they
    are. Asked once: what ends while the page is drawn was not known to it.

    champions: as the page shows them. What was held against another one, which came since, is left out: the page would
    contradict itself until it reads the registry again.
    """
    done, late = wait(asked.values(), timeout=trust.GLANCE_SECONDS)
    known = {name: look.result() for name, look in asked.items() if look in done and not look.exception()}
    return {name: each for name, each in known.items() if each.champion == champions.get(name)}, list(late)


def shown(model: ModelOverview, waiting: Waiting | None) -> list[int]:
    """The versions that the tile lists."""
    return [each.version for each in waiting.contenders] if waiting else list(model.waiting[:MOST_COMPARED])


def verdict(model: ModelOverview, waiting: Waiting | None, refused: Set[Named]) -> None:
    """Which version should serve, and why. waiting: None while that is not known. refused: see draw."""
    if waiting is None:
        st.text("The versions that wait are being compared with the champion.")
        return
    text, good = should_serve(model, waiting, refused)
    if text:
        icon = ":material/star:" if good else ":material/gpp_maybe:"
        st.badge(text, icon=icon, color="green" if good else "red")
    st.text(waiting.sentence)


def should_serve(model: ModelOverview, waiting: Waiting, refused: Set[Named]) -> tuple[str, bool]:
    """What the badge says, and whether nothing speaks against it: a version that is best may not be safe to load."""
    name, champion = model.record.name, waiting.champion
    if best := waiting.best:
        unsafe = (name, best.version) in refused
        return f"Best that waits: version {best.version}{', but it may not be used' if unsafe else ''}", not unsafe
    if champion is None or not any(each.merit and each.merit.overall for each in waiting.contenders):
        return "", True
    if any(each.of_champion for each in model.differences):
        return f"Version {champion} serves, made champion outside of this desk", False
    unsafe = (name, champion) in refused
    return f"Best: version {champion}, which serves{' and may not be used' if unsafe else ''}", not unsafe


def draw(model: ModelOverview, waiting: Waiting | None, refused: Set[Named]) -> None:
    """refused: versions that may not be used. waiting: None while they are compared, or where that failed."""
    if model.unstaged:
        _unstaged(model)
    if not model.waiting:
        st.caption("Nothing waits for a review.")
        return
    name = model.record.name
    order = "in order of merit" if waiting else "the newest first"
    st.caption(f"{words.count(len(model.waiting), 'version')} in Staging, waiting for a review, {order}")
    frame, metrics = session.versions(name), session.metric_names(name)[:2]
    contenders = {each.version: each for each in waiting.contenders} if waiting else {}
    best = waiting.best if waiting else None
    listed = shown(model, waiting)
    for version in listed:
        with st.container(gap=None):  # few elements in it: each costs a first visit 2 to 5 ms
            pages.link_review(f"Review version {version}", name, version)
            if (name, version) in refused:
                trust_badge(name, version)
            if contender := contenders.get(version):
                tip = widgets.named_metrics(contender.merit) if contender.merit else None
                badges = _badges(contender, best=contender is best)
                st.markdown(f"{badges}  \n{words.small(_figures(contender))}", help=tip)
            else:
                st.text(tables.brief(frame, version, metrics))
    if len(model.waiting) > len(listed):
        pages.link_versions(f"{len(model.waiting) - len(listed):,} more", name)


def _unstaged(model: ModelOverview) -> None:
    """A registry that uses no stages has nothing in Staging: what came after the champion is told all the same."""
    name, newest = model.record.name, model.unstaged[0]
    n = words.count(len(model.unstaged), "version")
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.caption(
            f"{n} in no stage, newer than the champion:" if model.champion else f"{n} in no stage:", width="content"
        )
        pages.link_review(f"Review version {newest}", name, newest)


def _badges(contender: Contender, *, best: bool) -> str:
    """Markdown, of words that are all ours."""
    parts = [":green-badge[:material/star: Best]"] if best else []
    if merit := contender.merit:
        parts += [*widgets.verdict_badges(merit), *widgets.cost_badges(merit, short=True)]
    colour = "red" if contender.blocked_by else "orange" if contender.warnings or contender.untried else "green"
    return " ".join([*parts, f":{colour}-badge[{contender.checks[:1].upper()}{contender.checks[1:]}]"])


def _figures(contender: Contender) -> str:
    """Markdown: the primary metric, its difference to the champion's on the same rows, the type and the age."""
    merit, metric = contender.merit, contender.metric
    found = merit.primary if merit else None
    parts = []
    if metric:
        parts.append(f"{words.metric_markdown(metric.name)} {words.number(metric.value)}")
    if found:
        name = "" if metric and metric.name == found.metric else f"{words.metric_markdown(found.metric)} "
        parts.append(f"{name}{words.difference(found)} beside the champion, n = {found.n:,}")
    elif metric and (spread := words.spread(metric)):
        parts.append(spread)
    if contender.model_type:
        parts.append(words.label(contender.model_type))
    return " · ".join([*parts, f"registered {words.ago(contender.created_at)}"])
