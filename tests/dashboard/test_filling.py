"""Filling an empty registry: one process, however often it is asked for, and its end is said."""

import pytest
from filelock import FileLock
from streamlit import config

from dashboard import filling
from dashboard.demo_run import DemoRun, DemoState
from support.desks import build_desk
from support.in_memory import InMemoryRegistry
from support.seen import button, texts

LABEL = "Fill with the demo"


@pytest.fixture
def run(tmp_path, monkeypatch) -> DemoRun:
    """The files of a demo of its own; whoever starts it writes down that it was asked to."""
    made = DemoRun.of("memory", tmp_path)
    monkeypatch.setattr(filling, "demo", lambda: made)
    monkeypatch.setattr(DemoRun, "start", lambda _: pytest.fail("a second process was started"))
    return made


def opened(open_page):
    return open_page(build_desk(InMemoryRegistry()))


def progress(app) -> str:
    (bar,) = app.get("progress")
    return bar.proto.text


def test_two_registries_have_files_of_their_own(tmp_path):
    """Two desks in one checkout do not show each other's progress."""
    assert DemoRun.of("sqlite:///a.db", tmp_path) != DemoRun.of("sqlite:///b.db", tmp_path)


def test_before_it_ran_nothing_is_told(run):
    """No file, no claim."""
    assert run.state() == DemoState(running=False, last="")


def test_a_running_demo_is_joined(run, open_page):
    """While another process holds the lock the page shows its step and no button: a second click cannot happen."""
    run.log.write_text("[0/12] prepare\n[3/12] random_forest: fit\n", encoding="utf-8")
    with FileLock(run.lock):
        app = opened(open_page)

    assert not app.exception
    assert LABEL not in [each.label for each in app.button]
    assert "step 3 of 12" in progress(app)
    assert "random_forest: fit" in progress(app)
    assert [header.value for header in app.header] == ["The registry is being filled"]


def test_a_late_click_joins(run, open_page):
    """A click on a page drawn before somebody else started starts nothing."""
    app = opened(open_page)
    with FileLock(run.lock):
        button(app, LABEL).click().run()

    assert not app.exception


@pytest.mark.parametrize("address", [None, "0.0.0.0"])  # None: Streamlit listens everywhere
def test_only_this_machine_fills(run, open_page, address):
    """Where others can reach the server a click starts nothing, and the page says why it is read only."""
    app = opened(open_page)
    config.set_option("server.address", address)

    button(app, LABEL).click().run()

    assert not app.exception
    assert "decides only on this machine" in texts(app)
    assert button(app, LABEL).disabled


@pytest.mark.parametrize("code", ["1", ""])  # empty: it was killed before it could write one
def test_a_failure_is_shown_with_its_last_line(run, open_page, code):
    """How it ended is said in its own words, and it can be tried again."""
    run.log.write_text("[1/12] fit\nUnavailable: the registry does not answer\n", encoding="utf-8")
    run.exit_file.write_text(code, encoding="utf-8")

    app = opened(open_page)

    assert "Unavailable: the registry does not answer" in texts(app)
    assert button(app, LABEL)


def test_the_share_is_that_of_the_last_step(run):
    """Lines that are no step are left out of the count."""
    run.log.write_text("[3/12] random_forest: fit\nsomething else\n", encoding="utf-8")

    assert run.state().share == pytest.approx(0.25)


def test_an_estimate_needs_a_step_that_has_ended():
    """As if each step took as long as those so far: three of twelve in 30 s leave 90 s."""
    begun = DemoState(running=True, last="fit", done=3, total=12, begun=1000.0)

    assert begun.seconds_left(1030.0) == pytest.approx(90)
    assert DemoState(running=True, last="fit", total=12, begun=1000.0).seconds_left(1030.0) is None


def test_progress_is_on_every_page_until_it_ends(run, open_page):
    """A desk that shows its first versions still says that the demo goes on."""
    run.log.write_text("[9/12] extra_trees: register\n", encoding="utf-8")
    with FileLock(run.lock):
        app = open_page(build_desk(), "versions")

    assert "step 9 of 12" in progress(app)
    assert not app.exception


def test_the_program_writes_output_and_exit_code(tmp_path, monkeypatch):
    """What the demo prints and how it ends is left in files; while it runs the lock is held."""
    made = DemoRun.of("memory", tmp_path)
    seen = []

    class Ended:
        returncode = 3

    def pretend(command, *, stdout, **_):
        seen.append((command[-3:], made.state().running))
        stdout.write(b"[1/2] fit\n")
        return Ended()

    monkeypatch.setattr("dashboard.demo_run.subprocess.run", pretend)
    made.run()

    assert seen == [(["-m", "pipeline", "demo"], True)]
    assert made.state() == DemoState(running=False, last="fit", done=1, total=2, exit_code=3)
