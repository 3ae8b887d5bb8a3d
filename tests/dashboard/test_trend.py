"""The versions page: a trend of any metric, columns of choice, the best value, the difference to the champion."""

import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest

from dashboard.components import trend as screen
from pipeline.governance.record.ledger import EventType
from pipeline.governance.rules import trend as rules
from pipeline.governance.rules.trend import Trend
from support.desks import MODEL, OpenDesk, build_desk
from support.seen import frame, texts
from support.trends import happened, registry_of, shown

Open = Callable[..., Any]
DIFFERENCE = "accuracy \N{MINUS SIGN} champion"


def captions(app: Any) -> str:
    return "\n".join(each.value for each in app.caption)


def charts(app: Any) -> list[Any]:
    return list(app.get("plotly_chart"))


def traces(found: Trend, **options: bool) -> dict[str, Any]:
    return {trace.name: trace for trace in screen.figure(found, **options).data}


def test_the_figure_draws_points_intervals_and_champions() -> None:
    """Others as circles, champions as diamonds, their time as a shade with their value."""
    desk = build_desk(registry_of(0.8, 0.9))
    happened(desk, 1.5, to=1)
    figure = screen.figure(shown(desk), dark=True)
    by_name = {trace.name: trace for trace in figure.data}

    assert (list(by_name["Version"].x), list(by_name["Version"].y)) == ([2], [0.9])
    assert list(by_name["Version"].error_y.array) == [pytest.approx(0.02)]
    assert (list(by_name["Was or is champion"].y), by_name["Was or is champion"].marker.symbol) == ([0.8], "diamond")
    assert list(by_name["Champion of the time"].y) == [0.8, 0.8]
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes] == [(1.5, 3.0)] * 2  # in the chart and its bar
    assert "0.9000 (0.8800\N{EN DASH}0.9200)" in by_name["Version"].customdata[0]


def test_a_short_time_at_the_end_keeps_its_number_inside_the_chart() -> None:
    """A champion that was set after the newest version; a long time says the word too."""
    late, early = build_desk(registry_of(*[0.8] * 20)), build_desk(registry_of(0.8, 0.9))
    happened(late, 21, to=1)
    happened(early, 1.5, to=1)

    assert list(traces(shown(late))["Champion"].text) == ["1\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}"]
    assert list(traces(shown(early))["Champion"].text) == ["version 1"]


def test_upwards_is_always_better() -> None:
    """The axis of a metric of which less is better is turned, and a sentence says so."""
    less, more = (shown(build_desk(registry_of(0.4, 0.3, metric=name)), name) for name in ("log_loss", "accuracy"))
    unknown = shown(build_desk(registry_of(4, 3, metric="profit")), "profit")

    assert screen.figure(less).layout.yaxis.autorange == "reversed"
    assert screen.figure(more).layout.yaxis.autorange is True
    assert "Upwards is better: less log loss, since the axis is turned." in screen.better(less)
    assert screen.better(unknown).startswith("Nobody says whether more or less profit is better.")


@pytest.mark.parametrize(("name", "drawn"), [("log_loss", [31.0, 5.0]), ("accuracy", [5.0, 31.0])])
def test_the_line_on_the_overview_is_drawn_towards_better(open_page: Open, name: str, drawn: list[float]) -> None:
    """Where less is better it goes up as the values go down."""
    app = open_page(build_desk(registry_of(0.4, 0.3, metric=name)))

    [picture] = [part for each in app.caption for part in re.findall("base64,([^)]+)", each.value)]
    heights = [float(each) for each in re.findall(r'cy="([0-9.]+)"', b64decode(picture).decode())]
    assert (screen.newest_values(MODEL).values, heights) == (((1, 0.4), (2, 0.3)), drawn)


def test_gaps_decisions_and_alarms_have_lines_of_their_own() -> None:
    """A version without a value is no zero; names from the registry are no markup; long lists are cut."""
    registry = registry_of(None)
    registry.add_version(MODEL, metrics={"accuracy": 0.9}, tags={"model_type": "<b>bold</b>"})
    desk = build_desk(registry)
    for _ in range(8):
        happened(desk, 3)
    happened(desk, 4, EventType.TAMPERING)
    found = shown(desk)
    drawn = traces(found, small=True)

    assert list(drawn["No value"].customdata) == ["Version 1 has no accuracy."]
    assert "and 2 more" in drawn["Decisions"].customdata[0]
    assert list(drawn["Alarms"].y) == ["Alarms"]
    assert "&lt;b&gt;" in drawn["Version"].customdata[0]
    assert screen.left_out(found) == [
        "1 version without a value, marked below the chart.",
        "1 version without an interval.",
    ]
    assert list(traces(shown(build_desk(registry_of(0.9))))) == ["Version"]


def test_many_versions_are_drawn_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the page says so."""
    monkeypatch.setattr(rules, "MOST_POINTS", 2)
    found = shown(build_desk(registry_of(0.1, 0.3, 0.2)))

    assert list(traces(found)["3 versions: median, lowest to highest"].y) == [0.2]
    assert "drawn as groups of 3 neighbours" in " ".join(screen.left_out(found))


# The page.


def test_the_address_opens_a_trend(open_page: Open) -> None:
    """Of its metric and range; what is not shown is said."""
    desk = build_desk(registry_of(*[0.5 + number / 100 for number in range(40)]))
    app = open_page(desk, "versions", show="Trend", metric="accuracy", versions=["3", "20"])

    assert not app.exception
    assert len(charts(app)) == 1
    assert "18 of 40 versions; the range above leads to the others." in captions(app)
    assert app.selectbox(key="metric").value == "accuracy"


def test_a_trend_of_a_metric_that_no_version_has(open_page: Open) -> None:
    """Is one sentence and no chart."""
    app = open_page(build_desk(registry_of(0.8, 0.9)), "versions", show="Trend", metric="recall")

    assert (charts(app), app.info[0].value) == ([], "None of the 2 versions shown has this metric.")


@pytest.mark.parametrize("values", [(None, None), ()])
def test_a_model_without_metrics_has_no_trend(open_page: Open, values: tuple[None, ...]) -> None:
    """One sentence, whether it has versions or not."""
    app = open_page(build_desk(registry_of(*values)), "versions", show="Trend")

    assert not app.exception
    assert not charts(app)


def test_a_card_draws_its_trend_once_it_is_opened(desk: OpenDesk, open_page: Open) -> None:
    """The line of the values is there before; the address keeps that it is open."""
    closed, opened = open_page(desk), open_page(desk, "", **{f"trend/{MODEL}": "true"})

    assert (len(charts(closed)), len(charts(opened))) == (0, 1)
    assert "to 0.9300 of version 3" in captions(closed)


def test_the_best_value_of_a_column_is_marked(open_page: Open) -> None:
    """Equal ones too, by the metric's own direction; a figure that is no share is not the best. Nobody is champion."""
    registry = registry_of(0.9, 62.0, 0.9)
    for value in (0.3, 0.2):
        registry.add_version(MODEL, metrics={"log_loss": value})
    table = frame(open_page(build_desk(registry), "versions"), "Best in")

    assert [list(names) for names in table["Best in"]] == [["Log loss"], [], ["Accuracy"], [], ["Accuracy"]]
    assert DIFFERENCE not in table


def test_the_difference_is_to_the_champion(desk: OpenDesk, open_page: Open) -> None:
    """A plain one; the champion's own cell is empty."""
    table = frame(open_page(desk, "versions"), "Best in")

    assert table[DIFFERENCE].astype(float).round(4).fillna(0).tolist() == [0.02, 0.01, 0]
    assert table[DIFFERENCE].isna().tolist() == [False, False, True]


def test_the_address_keeps_columns_and_order(open_page: Open) -> None:
    """Metrics, intervals, other columns, and the best first; a metric that nobody has is left out."""
    registry = registry_of(0.9, 0.7, 0.8)
    registry.add_version(MODEL, metrics={"log_loss": 0.2})
    app = open_page(
        build_desk(registry), "versions", metrics=["accuracy", "recall"], intervals="accuracy", columns="Type",
        order="Best accuracy first",
    )  # fmt: skip
    table = frame(app, "accuracy")

    assert list(table.columns) == ["Version", "accuracy", "accuracy interval", "Type"]
    assert table["Version"].tolist() == [1, 3, 2, 4]
    assert table["accuracy interval"].tolist() == ["0.8800\N{EN DASH}0.9200", "0.7800\N{EN DASH}0.8200",
                                                    "0.6800\N{EN DASH}0.7200", ""]  # fmt: skip
    assert not app.multiselect  # the fields are drawn once they are opened


def test_the_address_of_an_order_has_the_registry_s_name_of_the_metric(open_page: Open) -> None:
    """People read another one, and a link from before there were any leads to the same rows."""
    app = open_page(build_desk(registry_of(0.7, 0.9, metric="f1_macro")), "versions", order="Best f1_macro first")
    app.session_state["choose_columns"] = True
    app.run()

    assert frame(app, "f1_macro")["Version"].tolist() == [2, 1]
    assert app.selectbox(key="order").options == ["Newest first", "Best macro F1 first"]


def test_a_row_of_an_ordered_table_leads_to_its_own_review(open_page: Open) -> None:
    """Not to that of the row that stood there before."""
    app = open_page(build_desk(registry_of(0.9, 0.7, 0.8)), "versions", order="Best accuracy first")
    app.session_state[f"versions/{MODEL}/accuracy"] = {"selection": {"rows": [0], "columns": [], "cells": []}}

    assert "Version 1 selected" in texts(app.run())


def test_the_fields_change_the_address(open_page: Open) -> None:
    """What is not the preset stands there, also none at all; a metric that nobody has is named."""
    app = open_page(build_desk(registry_of(0.9, 0.7)), "versions", metrics=["accuracy", "recall"])
    app.session_state["choose_columns"] = True
    app.run()
    named = texts(app)
    app.multiselect(key="columns").set_value(["Stage"]).run()
    app.multiselect(key="differences").set_value([]).run()
    app.selectbox(key="order").select("Best accuracy first").run()
    asked = [app.query_params[name] for name in ("columns", "differences", "order")]
    app.multiselect(key="metrics").set_value(["accuracy"]).run()

    assert "No version has recall." in named
    assert asked in (["Stage", "", "Best accuracy first"], [["Stage"], [""], ["Best accuracy first"]])
    assert "metrics" not in app.query_params
    assert list(frame(app, "accuracy").columns) == ["Version", "accuracy", "Stage"]
