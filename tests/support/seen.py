"""What an AppTest shows, in a few words."""

from typing import Any

from streamlit.testing.v1 import AppTest


def texts(app: AppTest) -> str:
    return "\n".join(each.value for each in app.text)


def facts_of_the_sidebar(app: AppTest) -> dict[str, list[str]]:
    """What the sidebar says about the registry and who looks at it, by its name there: lines, as markdown."""
    facts = [fact.split("  \n") for each in app.sidebar.caption for fact in each.value.split("\n\n")]
    return {name.strip("*"): lines for name, *lines in facts}


def badges(app: AppTest) -> list[str]:
    """Badges and other markdown, as their source."""
    return [each.value for each in app.markdown]


def links(app: AppTest) -> list[str]:
    """The labels of links to pages, in the order in which they are drawn."""
    return [label_of(each) for each in app.main.get("page_link")]


def label_of(link: Any) -> str:
    """What a link to a page says, without the mark of its colour."""
    return str(link.proto.label).removeprefix(":blue[").removesuffix("]")


def queries(app: AppTest) -> dict[str, str]:
    """What each link to a page asks for, by its label."""
    return {label_of(link): str(link.proto.query_string) for link in app.main.get("page_link")}


def button(app: AppTest, label: str) -> Any:
    return next(each for each in app.button if each.label == label)


def frame(app: AppTest, column: str) -> Any:
    """The first table that has this column."""
    return next(each.value for each in app.dataframe if column in each.value)


def markdown_sources(app: AppTest) -> str:
    """Everything that the browser would read as markdown."""
    kinds = ("markdown", "caption", "title", "header", "subheader", "info", "warning", "error", "success", "toast")
    found = [each.value for kind in kinds for each in getattr(app, kind)]
    found += [each.label for kind in ("button", "metric", "checkbox") for each in getattr(app, kind)]
    return "\n".join(found)


def place_of(app: AppTest, element: Any) -> list[int]:
    """By which numbers among their neighbours the browser knows the containers of an element, the outermost first."""
    [found] = _paths(app.main, element)
    return found


def _paths(block: Any, element: Any) -> list[list[int]]:
    inner = [(place, each) for place, each in block.children.items() if hasattr(each, "children")]
    here: list[list[int]] = [[]] if any(each is element for each in block.children.values()) else []
    return here + [[place, *path] for place, each in inner for path in _paths(each, element)]
