"""A card as Markdown and as one self-contained HTML file.

Plain string building, not a template: the card is a list of sections of one shape, so each form is a loop, and every
text passes through the one function that escapes it. A template engine escapes HTML but knows nothing of Markdown.
"""

import html
import re

from pipeline.model_card.charts import to_svg
from pipeline.model_card.content import Card, Section, Table

# A backslash makes punctuation plain text (CommonMark 0.31, section 2.4). Points, signs, colons and brackets only where
# they would begin a list or a link (GitHub makes links of bare addresses) or an emoji: numbers stay readable.
MARKED = re.compile(r"""[\\`*_\[\]|#~@$]|[-+](?![0-9A-Za-z])|(?i:(?<=www)\.)|(?<!\d):(?=\S)|:(?=[^\s\d])""")
NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")
ENTITIES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .9rem .2rem 0; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid; } td.long { overflow-wrap: anywhere; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
p, li, h1 { overflow-wrap: break-word; } li { opacity: .75; }
svg { display: block; width: 100%; max-width: 45rem; margin: .6rem 0 1rem; font-size: 12px; }
text { fill: currentColor; } text.end { text-anchor: end; } text.middle { text-anchor: middle; }
text.strong { fill: #fff; } .mark { fill: #1D4ED8; stroke: #1D4ED8; } rect.mark { stroke: none; }
.cell { stroke: #8884; stroke-width: 1; }
@media (prefers-color-scheme: dark) { .mark { fill: #60A5FA; stroke: #60A5FA; } text.strong { fill: #000; } }
@page { margin: 16mm 14mm; }
@media print {
  :root { color-scheme: light; } body { font-size: 10pt; max-width: none; margin: 0; padding: 0; }
  h2 { margin-top: 1.2rem; break-after: avoid; } div { overflow: visible; } thead { display: table-header-group; }
  svg, tr, li { break-inside: avoid; } th, td { padding-right: .6rem; } li { opacity: 1; }
  .mark { fill: #1D4ED8; stroke: #1D4ED8; } text.strong { fill: #fff; }
}
"""
LONG_WORD = re.compile(r"[^\s_/]{34,}")  # a digest: it may break anywhere, since nobody reads it as a word
SEAMS = re.compile(r"([_/])(?=\w)")  # where a name may break
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
MISSING = "Missing:"


def to_markdown(card: Card) -> str:
    """CommonMark with GitHub's tables; no text of the registry is read as markup."""
    blocks = [f"# {plain(card.title)}"]
    for section in card.in_words:
        blocks += [f"## {plain(section.title)}", *(plain(sentence) for sentence in section.sentences)]
        if section.table:
            blocks.append(markdown_table(section.table))
        blocks += [f"- {MISSING} {plain(sentence)}" for sentence in section.missing]
    return "\n\n".join(blocks) + "\n"


def plain(text: str) -> str:
    """The text as Markdown that shows it unchanged: nothing of it is read as markup."""
    return NUMBERED.sub(r"\1\\\2", MARKED.sub(r"\\\g<0>", text)).translate(ENTITIES)


def markdown_table(table: Table) -> str:
    """A table in GitHub's Markdown; no cell is read as markup."""
    rules = ["---:" if numeric else "---" for numeric in _numeric(table)]
    lines = [[plain(head) for head in table.heads], rules, *([plain(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def to_html(card: Card) -> str:
    """One file that loads nothing and runs nothing, light or dark as the reader's system is."""
    title = html.escape(card.title)
    body = "\n".join(_html_section(section) for section in card.in_words)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )


def _html_section(section: Section) -> str:
    sentences = [f"<p>{html.escape(sentence)}</p>" for sentence in section.sentences]
    table = [_html_table(section.table)] if section.table else []
    items = "".join(f"<li>{MISSING} {html.escape(sentence)}</li>" for sentence in section.missing)
    missing = [f"<ul>{items}</ul>"] if items else []
    chart = [to_svg(section.chart)] if section.chart else []
    return "\n".join([f"<h2>{html.escape(section.title)}</h2>", *sentences, *chart, *table, *missing])


def _html_table(table: Table) -> str:
    kinds = [' class="number"' if numeric else "" for numeric in _numeric(table)]
    heads = "".join(f"<th{kind}>{html.escape(head)}</th>" for kind, head in zip(kinds, table.heads, strict=True))
    lines = ["".join(_cell(*pair) for pair in zip(kinds, row, strict=True)) for row in table.rows]
    rows = "\n".join(f"<tr>{cells}</tr>" for cells in lines)
    return f"<div><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>"


def _cell(kind: str, text: str) -> str:
    """Names break at their seams, digests anywhere, words never."""
    kind = kind or (' class="long"' if LONG_WORD.search(text) else "")
    shown = SEAMS.sub(r"\1<wbr>", html.escape(text))
    return f"<td{kind}>{shown}</td>"


def _numeric(table: Table) -> list[bool]:
    """Per column, whether every cell that is not empty is a number."""
    columns = [[row[index] for row in table.rows if row[index]] for index in range(len(table.heads))]
    return [bool(cells) and all(_is_number(cell) for cell in cells) for cells in columns]


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "", 1).removeprefix("-").isdigit()
