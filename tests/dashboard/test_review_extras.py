"""Explanation, claims and card on the review page."""

from dashboard.review.move_picker import ROLL_BACK
from pipeline.governance.lifecycle import Stage
from pipeline.governance.rules.gate_words import label_of
from support.desks import GRACE, MODEL, REASON, KnownClaims, build_desk, good_documents, small_registry
from support.seen import badges, button, frame, texts


def shown(open_page, desk, section: str, version: str = "1"):
    return open_page(desk, "review", model=MODEL, version=version, show=section)


def test_the_explanation_summary_is_drawn_from_the_file(open_page):
    """With its method, its number of rows and the check of the sum."""
    registry = small_registry(versions=0)
    summary = {
        "method": "exact (linear)",
        "scale": "log-odds",
        "n": 300,
        "sum_error": 1e-15,
        "tolerance": 1e-9,
        "mean_abs": {"thin": {"Age": 0.1, "Weight": 0.9}},
    }
    registry.add_version(MODEL, files={"MLmodel": b"x"}, documents={**good_documents(0.9), "explanation": summary})
    app = shown(open_page, build_desk(registry), "Explanation")

    assert not app.exception
    assert app.get("plotly_chart")
    assert any("300 evaluation rows" in each.value for each in app.caption)
    assert "Exact effects, which account for the whole answer." in texts(app)
    [said] = [each for each in app.text if "account for the whole answer" in each.value]
    assert "Method: `exact (linear)`. Off by at most 1e-15, where 1e-09 is allowed." in said.proto.help


def test_the_chart_of_intervals_names_what_it_leaves_out(open_page):
    """What is better when it is less may be what gets worse."""
    registry = small_registry(versions=0)
    metrics = {
        "accuracy": {"value": 0.9, "low": 0.88, "high": 0.92},
        "log_loss": {"value": 0.3, "low": 0.2, "high": 0.4},
        "latency_ms": {"value": 5.0},
    }
    documents = {**good_documents(0.9), "evaluation": {"n": 627, "metrics": metrics}}
    registry.add_version(MODEL, files={"MLmodel": b"x"}, documents=documents)
    app = shown(open_page, build_desk(registry), "Metrics")

    assert app.get("plotly_chart")
    assert "More is better in each. Not drawn: log loss." in [each.value for each in app.caption]


def test_a_version_without_an_explanation_says_so(open_page):
    """Nothing is invented."""
    app = shown(open_page, build_desk(), "Explanation")

    assert any("came without an explanation summary" in each.value for each in app.caption)


def test_claims_are_recomputed_on_a_click(open_page):
    """Claimed beside recomputed, the verdict in words, and how single rows would be answered."""
    desk = build_desk(recomputer=KnownClaims({"accuracy": 0.91}, compiled="compiled, equal on 720 rows"))
    app = button(shown(open_page, desk, "Claims"), "Recompute the claims").click().run()

    assert frame(app, "Recomputed")["Result"].tolist() == ["holds", "holds"]
    assert any("The claims hold" in each for each in badges(app))
    assert "Single rows over HTTP are compiled, equal on 720 rows." in [each.value for each in app.text]


def test_a_false_claim_is_named(open_page):
    """With both figures."""
    desk = build_desk(recomputer=KnownClaims({"accuracy": 0.5}, 3))
    app = button(shown(open_page, desk, "Claims"), "Recompute the claims").click().run()

    assert "is claimed as 0.91 by the evaluation file and is 0.5" in texts(app)
    assert any("Claims contradicted" in each for each in badges(app))


def test_a_false_claim_counts_in_the_decision(open_page):
    """Once recomputed it is a warning of the move, is recomputed again at the click, and is kept as accepted."""
    desk = build_desk(recomputer=KnownClaims({"accuracy": 0.5}, 3))
    desk.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=GRACE)
    app = open_page(desk, "review", model=MODEL, version="2", show="Claims")
    assert not app.checkbox
    app = button(app, "Recompute the claims").click().run()
    assert app.checkbox[0].label == "I accept the 1 warning"

    app.text_area[0].input(REASON)
    app.checkbox[0].check()
    button(app, "Move version 2 to Production").click().run()

    decided = next(each for each in reversed(desk.history(MODEL)) if "accepted_warnings" in each.content)
    assert decided.content["accepted_warnings"] == ["claims_recomputed"]


def test_the_claims_of_a_rollback_are_those_of_the_version_to_return_to(open_page):
    """The page shows them, and what was recomputed counts among its gates."""
    desk = build_desk(recomputer=KnownClaims({"accuracy": 0.5}, 3))
    for version in (1, 2):
        for stage in (Stage.STAGING, Stage.PRODUCTION):
            desk.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)
    app = open_page(desk, "review", model=MODEL, version="2", show="Claims", to=ROLL_BACK)

    app = button(app, "Recompute the claims").click().run()

    assert any("Claims contradicted" in each for each in badges(app))
    assert any(label_of("claims_recomputed") in each for each in badges(app))
    assert "accuracy is claimed as 0.91 by" in texts(app)


def test_claims_that_cannot_be_recomputed_say_why(open_page):
    """A desk that loads no models refuses in a sentence."""
    app = button(shown(open_page, build_desk(), "Claims"), "Recompute the claims").click().run()

    assert not app.exception
    assert any("Refused" in each for each in badges(app))


def test_the_card_can_be_downloaded(open_page):
    """As HTML and as Markdown."""
    app = shown(open_page, build_desk(), "Card")

    assert not app.exception
    assert len(app.get("download_button")) == 2


def test_the_environment_of_a_version_is_shown(open_page):
    """Processor, libraries, threads, pins, and which files were not committed; an older record shows what it has."""
    registry = small_registry(versions=0)
    environment = {
        "python": "3.12.1",
        "processor": {"features": ["AVX2", "FMA3"], "blas": "scipy-openblas 0.3"},
        "libraries": {"libgomp": "unknown version"},
        "threads": {"OMP_NUM_THREADS": None, "libgomp": 2},
        "lock_sha256": "9" * 64,
    }
    git = {"commit": "c" * 40, "dirty": True}
    for lineage in (
        {"environment": environment, "git": {**git, "changed": ["a.py", "b.py"]}},
        {"environment": {"python": "3.11.2", "processor": "hostile"}, "git": git},
    ):
        registry.add_version(MODEL, files={"MLmodel": b"x"}, documents={**good_documents(0.9), "lineage": lineage})
    now = [each.value for each in shown(open_page, build_desk(registry), "Lineage").text]
    before = [each.value for each in shown(open_page, build_desk(registry), "Lineage", "2").text]

    assert {"AVX2, FMA3", "scipy-openblas 0.3", "libgomp 2", "9" * 64} <= set(now)
    assert f"{'c' * 40}, with changes not committed: a.py, b.py" in now
    assert {"3.11.2", f"{'c' * 40}, with changes not committed: not recorded which"} <= set(before)
