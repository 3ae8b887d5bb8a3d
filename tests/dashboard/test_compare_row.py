"""A flipped row on the Compare page: what each version says about it, and where their reasons differ."""

import pytest

from pipeline.comparison import PairedBootstrap
from support.desks import MODEL
from support.explained_desk import desk_of
from support.seen import badges, frame, queries, texts


@pytest.fixture
def desk(models, worker, score_with):
    """Version 1 is a forest, version 2 linear, version 3 a pickle with the rows of version 1."""
    score_with(worker)
    return desk_of(models, comparer=PairedBootstrap(samples=200, seed=1, confidence=0.95))


def flipped(open_page, desk, versions="1,2", **query):
    return open_page(desk, "compare", model=MODEL, versions=versions, show="Flipped rows", **query)


def first_row(open_page, desk, versions="1,2") -> str:
    return str(frame(flipped(open_page, desk, versions), "Right")["Row"].iloc[0])


def test_the_reasons_of_both_versions(desk, open_page):
    """The address keeps the row; a forest and a linear version are both sampled on probability, the steps drawn."""
    row = first_row(open_page, desk)
    app = flipped(open_page, desk, row=row)

    assert not app.exception
    assert f"Row {row}: why the two differ" in [each.value for each in app.header]
    assert "log-odds" not in texts(app)
    assert " in version 1\n" in texts(app)
    assert " kg " in texts(app)
    assert texts(app).count("Sampled effects, which account for the whole answer.") == 2
    assert any("effects on the probability, by the same method, sampled in both" in each.value for each in app.caption)
    assert app.get("plotly_chart")


def test_importance_differs_on_probability(desk, open_page):
    """Shares where the summaries are on different scales; a click explains rows by both on one."""
    app = open_page(desk, "compare", model=MODEL, versions="1,2", show="Importance")
    assert "The two summaries are not on probability by one method" in texts(app)

    table = frame(app.toggle(key="alike").set_value(True).run(timeout=60), "Interval of the difference")
    assert table["Difference"].to_numpy() == pytest.approx((table["Version 2"] - table["Version 1"]).to_numpy())
    assert set(table["n"]) == {20}


def test_links_to_the_row_in_either_version(desk, open_page):
    """Explain opens on the same row."""
    row = first_row(open_page, desk)
    links = queries(flipped(open_page, desk, row=row))

    for version in (1, 2):
        assert f"version={version}" in links[f"Explain in version {version}"]
        assert f"row={row}" in links[f"Explain in version {version}"]


def test_the_class_is_what_the_compared_version_predicts(desk, open_page):
    """Another one can be chosen."""
    table = frame(flipped(open_page, desk), "Right")
    row, predicted, other = (str(table[name].iloc[0]) for name in ("Row", "Version 2", "Version 1"))
    app = flipped(open_page, desk, row=row)
    assert f"Explained: {predicted}, as version 2 predicts" in texts(app)

    again = flipped(open_page, desk, row=row, **{"class": other})
    assert f"Explained: {other}" in texts(again).split("\n")


def test_a_version_that_is_not_loaded(desk, open_page):
    """One sentence in place of the reasons; the table stays."""
    row = first_row(open_page, desk, "3,2")
    app = flipped(open_page, desk, "3,2", row=row)

    assert not app.exception
    assert any("Refused" in each for each in badges(app))
    assert "is not loaded" in texts(app)


def test_a_row_that_both_predict_alike(desk, open_page):
    """It is said, and nothing is explained."""
    app = flipped(open_page, desk, row="999999")

    assert not app.exception
    assert "The row in the address is none that the two predict differently." in [each.value for each in app.caption]
