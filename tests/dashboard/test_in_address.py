"""Fields whose value the address names, each kind of them, on a page of their own."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

BY_KIND = {
    "words": ("forest", ["forest"]),
    "open": (True, ["true"]),
    "on": (False, ["false"]),
    "one": ("b", ["b"]),
    "number": (7, ["7"]),
    "some": (["c", "a"], ["c", "a"]),
    "shown": (["c"], ["c"]),
    "range": ((2, 4), ["2", "4"]),
    "day": (date(2026, 1, 31), ["2026-01-31"]),
    "at": (datetime.fromisoformat("2026-01-31T12:30"), ["2026-01-31T12:30"]),
}
DEFAULTS = {
    "words": "",
    "open": False,
    "on": True,
    "one": "a",
    "number": 3,
    "some": [],
    "shown": ["a", "b"],
    "range": (1, 9),
    "day": None,
    "at": datetime.fromisoformat("2026-01-01T00:00"),
}


def page() -> None:
    from datetime import datetime

    import streamlit as st

    from dashboard.address import in_address

    in_address.begin("page")
    st.text_input("Words", **in_address.text("words", also={"row": None, "show": "First"}))
    st.toggle("Open", **in_address.flag("open"))
    st.toggle("On", **in_address.flag("on", default=True))
    st.selectbox("One", ["a", "b", "c"], **in_address.one_of("one", ["a", "b", "c"]))
    st.selectbox("Number", (3, 7), **in_address.one_of("number", (3, 7)))
    st.multiselect("Some", ["a", "b", "c"], **in_address.some_of("some", ["a", "b", "c"]))
    shown = in_address.some_of("shown", ["a", "b", "c"], default=("a", "b"))
    st.multiselect("Shown", ["a", "b", "c"], **shown)
    st.slider("Range", 1, 9, **in_address.between("range", (1, 9), default=(1, 9)))
    st.date_input("Day", None, **in_address.day("day"))
    st.datetime_input("At", **in_address.moment("at", datetime.fromisoformat("2026-01-01T00:00")))


def opened(**address: list[str]) -> AppTest:
    app = AppTest.from_function(page)
    for name, values in address.items():
        app.query_params[name] = values
    return app.run()


def values(app: AppTest) -> dict[str, Any]:
    assert not app.exception
    assert not app.warning
    return {name: app.session_state[name] for name in BY_KIND}


def asked(app: AppTest) -> dict[str, list[str]]:
    found = {name: app.query_params[name] for name in app.query_params}
    return {name: [said] if isinstance(said, str) else list(said) for name, said in found.items()}


def test_what_the_address_names_is_set_and_the_rest_is_as_usual() -> None:
    assert values(opened()) == DEFAULTS
    for name, (value, said) in BY_KIND.items():
        assert values(opened(**{name: said})) == {**DEFAULTS, name: value}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("open", ["perhaps"]),
        ("one", ["d"]),
        ("number", ["4"]),
        ("some", ["x"]),
        ("range", ["2"]),
        ("range", ["2", "3", "4"]),
        ("range", ["first", "last"]),
        ("day", ["yesterday"]),
        ("day", ["9999-12-31"]),
        ("at", ["0001-01-01T00:00"]),
        ("at", ["2026-13-01T00:00"]),
    ],
)
def test_what_is_no_value_of_the_field_is_not_set(name: str, said: list[str]) -> None:
    assert values(opened(**{name: said})) == DEFAULTS


def test_the_ends_of_a_range_are_within_it_and_in_order() -> None:
    assert values(opened(range=["40", "-3"]))["range"] == (1, 9)
    assert values(opened(range=["6", "2"]))["range"] == (2, 6)


def test_a_moment_of_another_time_zone_is_told_in_utc() -> None:
    at = values(opened(at=["2026-01-31T12:30:59+05:00"]))["at"]
    assert at == datetime.fromisoformat("2026-01-31T07:30")


def test_a_text_has_an_end() -> None:
    assert values(opened(words=["x" * 5000]))["words"] == "x" * 200


def test_a_change_writes_the_address_and_a_default_is_not_named() -> None:
    app = opened(model=["m"])
    app.toggle(key="on").set_value(False).run()
    app.multiselect(key="some").set_value(["a", "c"]).run()
    assert asked(app) == {"model": ["m"], "on": ["false"], "some": ["a", "c"]}

    app.toggle(key="on").set_value(True).run()
    app.multiselect(key="some").set_value([]).run()
    assert asked(app) == {"model": ["m"]}


def test_a_change_writes_and_forgets_what_goes_with_it() -> None:
    app = opened(row=["3"])
    app.text_input(key="words").set_value("forest").run()
    assert asked(app) == {"words": ["forest"], "show": ["First"]}


def test_none_of_several_is_named_where_some_are_usual() -> None:
    app = opened()
    app.multiselect(key="shown").set_value([]).run()
    assert asked(app) == {"shown": [""]}
    assert values(opened(shown=[""]))["shown"] == []


def part() -> None:
    import streamlit as st

    from dashboard.address import in_address

    if st.toggle("Open", **in_address.flag("open")):
        st.selectbox("One", ["a", "b", "c"], **in_address.one_of("one", ["a", "b", "c"]))
    st.toggle("On", **in_address.flag("on"))


def test_a_field_that_is_not_drawn_any_more_stays_as_it_was() -> None:
    """In a part of a page that is drawn by itself, without the beginning of the page."""
    app = AppTest.from_function(part).run()
    app.toggle(key="open").set_value(True).run()
    app.selectbox(key="one").set_value("c").run()
    app.toggle(key="open").set_value(False).run()
    app.toggle(key="on").set_value(True).run()
    assert asked(app) == {"one": ["c"], "on": ["true"]}

    app.toggle(key="open").set_value(True).run()
    assert app.session_state["one"] == "c"


def test_several_names_are_written_at_once_and_none_leaves_one_out() -> None:
    def page() -> None:
        from dashboard.address import in_address

        in_address.write(event=None, before="7")

    app = AppTest.from_function(page)
    app.query_params["event"], app.query_params["model"] = "3", "m"
    assert asked(app.run()) == {"model": ["m"], "before": ["7"]}


def test_a_change_that_comes_with_an_old_address_loses_none() -> None:
    """The browser sends the second of two quick changes with the address of before the first."""
    app = opened()
    app.toggle(key="open").set_value(True).run()
    app.query_params.clear()
    app.selectbox(key="one").set_value("c").run()

    assert asked(app) == {"open": ["true"], "one": ["c"]}
    assert (values(app)["open"], values(app)["one"]) == (True, "c")


def test_the_address_sets_the_fields_again() -> None:
    """As Back does."""
    app = opened(one=["b"])
    app.query_params.clear()
    app.run()
    assert values(app) == DEFAULTS


def test_no_field_is_bound_by_streamlit() -> None:
    """It would make two steps of a link, see record 39."""
    pages = Path(__file__).resolve().parents[2] / "dashboard"
    assert not [
        path.name for path in pages.rglob("*.py") if "bind=" in path.read_text() and path.name != "in_address.py"
    ]
