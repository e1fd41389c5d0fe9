"""The command `serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from enecg.cli.options import Bundle, log
from enecg.errors import require


def serve(
    bundle: Bundle,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8000")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.", show_default="processors")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File of tokens; without it: this machine only.")] = None,
) -> None:
    """Serve a bundle: a page and an HTTP API. ENECG_SERVE_... in the environment has all settings (docs/serve.md)."""
    for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        require(package, "serve", "enecg serve")
    from enecg.serve.server import serve as run
    from enecg.serve.settings import Settings

    run(bundle, Settings.read(host=host, port=port, workers=workers, token_file=token_file), log=log)
