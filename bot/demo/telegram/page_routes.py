"""The chat page: plain files, served as they are."""

import html
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

_FOLDER = Path(__file__).parent / "page"
_POLICY = "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'self'; base-uri 'none'"
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


def page_routes(prefix: str = "") -> list[Route]:
    """`/` and the files it needs under `/page/`.

    Args:
        prefix: where the stand-in itself is mounted as the browser sees it, such as `/telegram`.
    """
    index = (_FOLDER / "index.html").read_text().replace("{{prefix}}", html.escape(prefix))
    files = {path.name: path for path in _FOLDER.iterdir() if path.suffix in {".css", ".js", ".svg"}}

    async def show(_: Request) -> Response:
        return HTMLResponse(index, headers=_HEADERS)

    async def give(request: Request) -> Response:
        path = files.get(request.path_params["name"])
        return FileResponse(path, headers=_HEADERS) if path else Response(status_code=404)

    return [Route("/", show), Route("/page/{name}", give)]
