"""Every page shows what it promises, on full, empty, broken and hostile registries."""

import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from dashboard import caching
from dashboard.components import trust, words
from pipeline.governance.lifecycle import Stage
from pipeline.governance.ports import MetricDifference, Notice
from support.desks import GRACE, MODEL, REASON, KnownDifferences, add_good_version, build_desk, small_registry, worse
from support.in_memory import EPOCH, InMemoryRegistry
from support.seen import (
    badges,
    facts_of_the_sidebar,
    frame,
    label_of,
    links,
    markdown_sources,
    place_of,
    queries,
    texts,
)

PAGES = ["", "versions", "review", "history"]
HOSTILE = [
    'it\'s a "quoted" `name`',
    "  spaces  inside",
    "safe\u202egpj.exe",
    ":green-badge[Approved]",
    "<script>alert(1)</script>",
    "[click](javascript:alert(1)) :material/check: www.example.com",
]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens(desk, open_page, page):
    """Each page of a filled registry is drawn without an error."""
    app = open_page(desk, page)

    assert not app.exception
    assert app.title


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_registry_is_no_error(open_page, page):
    """Each page of an empty registry says so in words."""
    app = open_page(build_desk(InMemoryRegistry()), page)

    assert not app.exception
    assert app.title


@pytest.mark.parametrize("page", PAGES)
def test_a_registry_that_is_down_is_one_sentence(open_page, page):
    """Each page of a registry that does not answer says so once and offers to try again."""
    registry = InMemoryRegistry()
    registry.down = True

    app = open_page(build_desk(registry), page)

    assert not app.exception
    assert texts(app).casefold().count("the registry does not answer") == 1
    assert [each.label for each in app.button if each.label == "Try again"] == ["Try again"]


def test_it_answers_again_after_a_retry(desk, open_page):
    """The button reads anew: a registry that has come back is shown."""
    desk.registry.down = True
    app = open_page(desk)
    desk.registry.down = False

    app.button(key="try_again/page").click().run()

    assert {"**3** versions", "**0** changed outside"} <= set(links(app))


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_cannot_be_used_are_one_sentence(desk, open_page, monkeypatch, tmp_path, page):
    """A broken params.yaml is named with its path, on every page, without a traceback."""
    (tmp_path / "params.yaml").write_text("data: {sauce: sample}\n", encoding="utf-8")
    monkeypatch.setenv("SIGNOFF_PARAMS", str(tmp_path / "params.yaml"))

    app = open_page(desk, page)

    assert not app.exception
    assert "params.yaml: " in texts(app)


def test_overview_says_what_serves_and_what_waits(desk, open_page):
    """The card names the champion with interval and n, since when and by whom, and the waiting version."""
    app = open_page(desk)

    assert "Accuracy 0.9100 (0.8900\N{EN DASH}0.9300, n = 627)" in texts(app)
    assert any(each.value.startswith("Champion since ") and "by grace" in each.value for each in app.caption)
    assert {"**1** waiting for review", "Review version 1", "Review version 2"} <= set(links(app))


def test_overview_says_which_version_should_serve_and_why(open_page, monkeypatch):
    """The versions that wait are in order of merit, with the verdict in a sentence; what is worse is said in red."""
    monkeypatch.setattr(trust, "GLANCE_SECONDS", 60)
    better = MetricDifference("accuracy", 0.03, 0.01, 0.05, 627, candidate=0.95, incumbent=0.92)
    service = build_desk(comparer=KnownDifferences([better, worse("recall_macro")]))
    for version, stage in ((1, Stage.STAGING), (1, Stage.PRODUCTION), (2, Stage.STAGING), (3, Stage.STAGING)):
        service.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)

    app = open_page(service)

    reviews = [each for each in links(app) if each.startswith("Review version")]
    assert reviews == ["Review version 1", "Review version 3", "Review version 2"]
    assert "Version 3 is better than the champion in 1 of 2 metrics, but worse in " in texts(app)
    assert any(
        "Best that waits: version 3, but it may not be used" in each for each in badges(app)
    )  # of no type that is loaded
    line = next(each for each in app.markdown if ":red-badge[Worse in 1 of 2]" in each.value)
    assert line.help == "Better in accuracy. Worse in macro recall."
    assert ":small[Accuracy 0.9300 · +0.0300 (+0.0100 to +0.0500) beside the champion, n = 627" in line.value


def test_a_registry_whose_models_are_gone_is_not_offered_the_demo(desk, open_page):
    """Such as one whose database was moved: the record says what was there, and that is to be put back."""
    desk.registry._models.clear()
    app = open_page(desk)

    assert "The registry holds no version any more" in [each.value for each in app.header]
    assert "Fill with the demo" not in [each.label for each in app.button]
    assert "deleted outside of this desk" in texts(app)


def test_a_review_begins_with_the_verdict(open_page, monkeypatch):
    """Better, worse and not distinguishable in how many metrics; which ones get worse; which version is better yet."""
    monkeypatch.setattr(trust, "GLANCE_SECONDS", 60)
    differences = [worse("f1_macro"), worse("accuracy")]
    service = build_desk(comparer=KnownDifferences(differences))
    for version, stage in ((1, Stage.STAGING), (1, Stage.PRODUCTION), (2, Stage.STAGING), (3, Stage.STAGING)):
        service.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)
    app = open_page(service, "review", model=MODEL, version="2")

    said = next(each for each in badges(app) if "the champion, version 1" in each)
    shown = {metric.label: (metric.value, metric.delta) for metric in app.metric}
    assert said.startswith("Compared with the champion, version 1, on the same 627 rows: :red-badge[Worse in 2 of 2]")
    assert shown["Accuracy"] == ("0.9200", "\N{MINUS SIGN}0.0500 worse")
    assert any(each.startswith(":red[**Also worse:** ") for each in badges(app))
    assert "No gate blocks this, but no metric gets better: version 2 is worse than the champion in 2 of 2" in texts(
        app
    )


def test_a_review_names_the_waiting_version_that_is_better(open_page, monkeypatch):
    """With a link to it; the best one names none."""
    monkeypatch.setattr(trust, "GLANCE_SECONDS", 60)
    better = MetricDifference("accuracy", 0.03, 0.01, 0.05, 627, candidate=0.95, incumbent=0.92)
    service = build_desk(comparer=KnownDifferences([better]))
    for version, stage in ((1, Stage.STAGING), (1, Stage.PRODUCTION), (2, Stage.STAGING), (3, Stage.STAGING)):
        service.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)

    second, third = (open_page(service, "review", model=MODEL, version=version) for version in ("2", "3"))

    asked = queries(second)
    assert "version=3" in asked["Version 3 is better than this one"]
    assert any(each.value.startswith("It waits too: better than this one") for each in second.caption)
    assert not any("better than this one" in label_of(link) for link in third.main.get("page_link"))


@pytest.mark.parametrize("several", [False, True])
def test_the_numbers_at_the_top_lead_to_what_they_count(open_page, several):
    """Where one page shows all of that; a number of several models leads to none of them."""
    registry = small_registry()
    if several:
        registry.add_model("other")
        add_good_version(registry, model="other")
    service = build_desk(registry)
    for model in (MODEL, "other") if several else (MODEL,):
        service.promote(model, 1, Stage.STAGING, reason=REASON, actor=GRACE, accept_warnings=True)

    app = open_page(service)

    asked = queries(app)
    assert asked.get("**2** models") == (f"model={MODEL}" if several else None)
    assert "**1** model" not in asked, "its card has its name"
    assert asked.get("**3** versions") == (None if several else f"model={MODEL}")
    assert asked.get("**1** waiting for review") == (None if several else f"model={MODEL}&stage=Staging")
    assert asked["**0** changed outside"] == ""
    if several:
        assert {"**4** versions", "**2** waiting for review"} <= {each.value for each in app.main.markdown}


def test_boxes_above_the_cards_move_none_of_them(desk, open_page):
    """The browser would make the cards anew: a trend that was opened, or a comment that is being typed."""

    def place_of_the_card(app: AppTest) -> list[int]:
        return place_of(app, next(each for each in app.main.get("page_link") if label_of(each) == "Review version 1"))

    quiet = open_page(desk)
    desk.registry.set_stage(MODEL, 1, Stage.ARCHIVED)
    caching.forget_reads()
    app = open_page(desk)

    assert any("Changed outside of this desk" in each for each in badges(app))
    assert place_of_the_card(app) == place_of_the_card(quiet)


def test_overview_of_an_empty_registry_offers_the_demo(open_page):
    """Where there is nothing to review, the one thing to do is to fill it."""
    app = open_page(build_desk(InMemoryRegistry()))

    assert [header.value for header in app.header] == ["The registry is empty"]
    assert app.button(key="fill").label == "Fill with the demo"


def test_overview_tells_out_of_band_changes(desk, open_page):
    """A change by another way is on the first page."""
    desk.registry.set_alias(MODEL, "champion", 3)

    app = open_page(desk)

    assert "registry says version 3, the record says version 1" in texts(app)
    assert "Champion, not set by this desk." in [caption.value for caption in app.caption]
    review = open_page(desk, "review", model=MODEL, version="2")
    assert "registry says version 3, the record says version 1" in texts(review)


def test_overview_tells_what_people_were_not_told(desk, open_page):
    """Why, and from when on it is tried again."""
    failure = "target 1 (mailtos) did not take it"
    desk.ledger.outbox.waiting[2] = Notice(2, EPOCH, attempts=1, failure=failure)
    app = open_page(desk, "overview")

    assert any("Not told" in each for each in badges(app))
    assert f"1 notice waits to be sent, the first about event 2: {failure}. Tried again from 00:00 UTC." in texts(app)


def test_overview_tells_a_champion_that_is_not_in_production(open_page):
    """A registry may have been found like that."""
    registry = small_registry()
    registry.set_alias(MODEL, "champion", 1)
    registry.set_stage(MODEL, 2, Stage.PRODUCTION)

    app = open_page(build_desk(registry))

    assert any("Version 1 serves and is not in Production." in caption.value for caption in app.caption)


def test_versions_lists_all_with_figures(desk, open_page):
    """Newest first, with stage, alias and the figures of each."""
    table = frame(open_page(desk, "versions"), "Aliases")

    assert table["Version"].tolist() == [3, 2, 1]
    assert table["accuracy"].tolist() == [0.93, 0.92, 0.91]
    assert [list(each) for each in table["Aliases"]] == [[], [], ["champion"]]


def test_versions_have_the_columns_that_the_model_has(open_page):
    """A registry of regressors shows its errors, no empty accuracy; the Overview too."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    for error in (1.0, 50.0):
        registry.add_version(MODEL, metrics={"rmse": error, "mae": error, "r2": 0.5}, files={"MLmodel": b"x"})
    registry.set_alias(MODEL, "champion", 1)
    service = build_desk(registry)
    table, overview = frame(open_page(service, "versions"), "Aliases"), open_page(service)

    assert table["rmse"].tolist() == [50.0, 1.0]
    assert {"mae", "r2"} < set(table)
    assert not {"accuracy", "f1_macro", "log_loss"} & set(table)
    assert "Mean absolute error 1.0000 · R squared 0.5000" in texts(overview)


def test_versions_are_filtered_by_text_and_stage(desk, open_page):
    """The address keeps the filter."""
    by_text = frame(open_page(desk, "versions", q="champion"), "Aliases")
    by_stage = frame(open_page(desk, "versions", stage="Staging"), "Aliases")

    assert by_text["Version"].tolist() == [1]
    assert by_stage["Version"].tolist() == [2]


def test_a_selected_row_leads_to_its_review(desk, open_page):
    """Selecting a line offers the review of exactly that version."""
    app = open_page(desk, "versions")
    app.session_state[f"versions/{MODEL}"] = {"selection": {"rows": [1], "columns": [], "cells": []}}
    app.run()

    assert "version=2" in queries(app)["Review version 2"]


@pytest.mark.parametrize("version", ["99", "0", "-1", "x", "1.5", "\u0663"])
def test_a_link_to_no_version_says_so(desk, open_page, version):
    """A deep link to a version that is not there names it and leads back."""
    app = open_page(desk, "review", model=MODEL, version=version)

    assert not app.exception
    assert f"has no version {version!r}" in texts(app)
    assert [each.value for each in app.title] == ["Review"]
    [link] = app.main.get("page_link")
    assert (label_of(link), link.proto.query_string) == ("All versions", f"model={MODEL}")


def test_a_link_to_no_model_says_so(desk, open_page):
    """A deep link to a model that is not there names it."""
    app = open_page(desk, "review", model="nothing", version="1")

    assert "has no versions of 'nothing'" in texts(app)
    [link] = app.main.get("page_link")
    assert not link.proto.query_string  # the same address would say the same again


def test_review_names_gaps(open_page):
    """What is missing is named by its own name, not left out."""
    registry = InMemoryRegistry()
    registry.add_model("bare")
    registry.add_version("bare")

    app = open_page(build_desk(registry), "review", model="bare", version="1")

    assert not app.exception
    assert "files: files: those of version 1 are gone" in texts(app)
    assert app.metric == []


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("page", PAGES)
def test_text_from_the_registry_is_never_markdown(open_page, page, text):
    """Names, aliases, tags and descriptions of anybody's making are text wherever they are shown."""
    registry = InMemoryRegistry()
    registry.add_model(text, description=text)
    registry.add_version(text, description=text, tags={"model_type": text, "note": text}, metrics={"accuracy": 0.9})
    registry.set_alias(text, text, 1)
    registry.set_stage(text, 1, Stage.STAGING)

    app = open_page(build_desk(registry), page, model=text, show="Description and tags")

    assert not app.exception
    assert text not in markdown_sources(app).replace(words.code(text), "")


def test_a_label_keeps_plain_names_readable():
    """Plain names stay as they are; anything else is fenced, its invisible characters spelt out."""
    assert words.label("obesity_classifier") == r"obesity\_classifier"
    assert words.label(":green-badge[x]") == "`:green-badge[x]`"
    assert words.label("a`b``c") == "``` a`b``c ```"
    assert words.label("safe\u202egpj") == r"`safe\u202egpj`"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("https://user:secret@host:5000/path?token=secret", "https://host:5000/path"),
        ("postgresql://user:se@cret@db/mlflow", "postgresql://db/mlflow"),
    ],
)
def test_an_address_never_shows_a_password(uri, shown):
    """User, password and query are left out of the registry's address."""
    assert words.address(uri) == shown


def test_the_sidebar_says_who_signs(desk, open_page):
    """The name, how it was established and the roles are on every page."""
    shown = facts_of_the_sidebar(open_page(desk))
    assert shown["Decisions are signed by"] == ["grace (self-declared)", "as reviewer, approver"]


def test_the_sidebar_promises_no_role_from_elsewhere(desk, open_page):
    """A self-declared name decides at this machine only."""
    config.set_option("server.address", "0.0.0.0")
    shown = facts_of_the_sidebar(open_page(desk))
    assert shown["Decisions are signed by"] == ["grace (self-declared)"]


def test_the_sidebar_leads_on_with_model_and_version(desk, open_page):
    """Each link has the address that its page would give itself: what was looked at last, before that what waits."""

    def addresses(app):
        return {label_of(link): link.proto.query_string for link in app.sidebar.get("page_link")}

    first = addresses(open_page(desk))
    assert (first["Overview"], first["History"]) == ("", "")
    assert (first["Versions"], first["Predict"]) == (f"model={MODEL}", f"model={MODEL}")
    assert first["Review"] == first["Explain"] == f"model={MODEL}&version=2"
    assert first["Compare"] == f"model={MODEL}&versions=1%2C3"

    app = open_page(desk, "review", model=MODEL, version="3")
    assert addresses(app)["Explain"] == f"model={MODEL}&version=3"
    assert addresses(app.switch_page("versions/page.py").run())["Review"] == f"model={MODEL}&version=3"
    assert addresses(open_page(desk, "review", model=MODEL, version="99"))["Explain"] == f"model={MODEL}&version=2"


def test_the_sidebar_leads_on_where_the_registry_does_not_answer(desk, open_page):
    """Every page can be reached all the same."""
    desk.registry.down = True
    drawn = open_page(desk).sidebar.get("page_link")

    assert {"Overview", "Review", "Monitoring", "History"} <= {label_of(each) for each in drawn}
    assert not any(link.proto.query_string for link in drawn)


def test_the_sidebar_shows_the_stage_words_of_the_desk(desk, open_page):
    """A stage is shown in the desk's own word, with a colour that only repeats it."""
    assert any("1 in Staging" in each for each in badges(open_page(desk)))


def test_reads_are_kept_for_some_seconds(desk, open_page):
    """A second visitor within seconds does not make the registry answer again."""
    app = open_page(desk)
    desk.registry.down = True

    app.run()

    assert texts(app).casefold().count("the registry does not answer") == 0
    caching.forget_reads()
    app.run()
    assert texts(app).casefold().count("the registry does not answer") == 1
