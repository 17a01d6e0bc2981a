"""Makes a site of these pages (see mkdocs.yml): what lies outside this folder is named there, not linked."""

import re
from typing import Any


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:  # noqa: ANN401 the site builder's signature
    """Return a page whose links all lead to pages."""
    up = page.file.src_uri.count("/") + 1
    return re.sub(rf"\[([^\]]+)\]\((?:\.\./){{{up}}}[^)]*\)", r"\1", markdown)
