"""One version on one page that can be handed on.

content.py (what a card says) · charts.py (its pictures) · render.py (Markdown and HTML).
"""

from pipeline.model_card.content import Card as Card
from pipeline.model_card.content import Section as Section
from pipeline.model_card.content import Table as Table
from pipeline.model_card.content import describe as describe
from pipeline.model_card.render import to_html as to_html
from pipeline.model_card.render import to_markdown as to_markdown
