"""The page at /: a model and its search, tried out in a browser. Files only; it asks the API as any client does."""

from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

_FOLDER = Path(__file__).parent / "page"
_TYPES = {
    "index.html": "text/html", "page.css": "text/css", "page.js": "text/javascript", "api.js": "text/javascript",
    "ranks.js": "text/javascript", "strings.js": "text/javascript", "icon.svg": "image/svg+xml",
}  # fmt: skip
# Nothing from elsewhere, nothing inline, no frame around it, no form that leaves the page.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
# They need no API key: the page asks for one.
PATHS = ("/", *(f"/page/{name}" for name in _TYPES))
routes = APIRouter(include_in_schema=False)


@routes.get("/")
async def index() -> Response:
    """The page itself."""
    return _file("index.html")


@routes.get("/page/{name}")
async def part(name: str) -> Response:
    """What the page loads. Raises HTTPException 404 for anything else."""
    if name not in _TYPES:
        raise HTTPException(404)
    return _file(name)


def _file(name: str) -> Response:
    return FileResponse(_FOLDER / name, media_type=_TYPES[name], headers=_HEADERS)
