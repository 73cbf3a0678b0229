"""Serve the page at /, which tries a model and its search out. It asks the API as any client."""

from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

_FOLDER = Path(__file__).parent / "page_files"
_SCRIPTS = "api compare dom examples facts link matrix page ranks search share snippets strings"
_FILES = ("index.html", "page.css", "icon.svg", *(f"{name}.js" for name in _SCRIPTS.split()))
# Nothing from elsewhere, nothing inline, no frame around it, no form that leaves the page.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
_EXAMPLES = "/page/examples.json"
# They need no API key: the page asks for one.
PATHS = ("/", _EXAMPLES, *(f"/page/{name}" for name in _FILES))
router = APIRouter(include_in_schema=False)


@router.get("/")
async def index() -> Response:
    """Return the page itself."""
    return FileResponse(_FOLDER / "index.html", headers=_HEADERS)


@router.get(_EXAMPLES)
async def examples(request: Request) -> Response:
    """Return the operator's questions to begin with; none: the page has its own."""
    return JSONResponse(list(request.app.state.examples), headers=_HEADERS)


@router.get("/page/{name}")
async def file(name: str) -> Response:
    """Return a file of the page. Raises HTTPException 404 for anything else."""
    if name not in _FILES:
        raise HTTPException(404)
    return FileResponse(_FOLDER / name, headers=_HEADERS)
