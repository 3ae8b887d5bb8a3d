"""Streamlit's files from memory are what Streamlit itself answers."""

import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from streamlit import config
from streamlit.web.server.starlette.starlette_static_routes import create_streamlit_static_assets_routes

from dashboard.server import STREAMLIT, StaticFromMemory

NAMED = re.compile(r"\./(static/[\w./-]+)")
SAID = ("content-type", "content-length", "cache-control")


def sent_first() -> list[str]:
    """The files that a browser asks for before it has run anything."""
    return NAMED.findall((STREAMLIT / "index.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("base", ["", "desk"])
def test_each_file_is_as_streamlit_sends_it(base: str) -> None:
    config.set_option("server.baseUrlPath", base)
    try:
        routes = create_streamlit_static_assets_routes(base)
        own = Starlette(routes=routes, middleware=[Middleware(StaticFromMemory)])
        with TestClient(own) as ours, TestClient(Starlette(routes=routes)) as theirs:
            assert len(sent_first()) > 20
            for name in sent_first():
                path = f"/{base}/{name}".replace("//", "/")
                first, again, wanted = ours.get(path), ours.get(path), theirs.get(path)
                assert first.content == again.content == wanted.content
                assert {each: first.headers[each] for each in SAID} == {each: wanted.headers[each] for each in SAID}
                assert "last-modified" not in first.headers  # it was ours
    finally:
        config.set_option("server.baseUrlPath", "")


def test_streamlit_answers_for_everything_else() -> None:
    own = Starlette(routes=create_streamlit_static_assets_routes(""), middleware=[Middleware(StaticFromMemory)])
    with TestClient(own) as ours:
        path = f"/{sent_first()[0]}"
        assert ours.get(path, headers={"Range": "bytes=0-9"}).status_code == 206
        assert ours.head(path).headers["last-modified"]
        assert ours.post(path).status_code == 405
        for page in ("/", "/versions", "/static/js/none.js", "/static/../index.html"):
            assert ours.get(page).text.lstrip().startswith("<!--")
