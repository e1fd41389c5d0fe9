"""The program `enecg`: its commands, and how errors are shown. Python has the same under the same names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from enecg import NOTICE, __version__
from enecg.cli import experts, learn, pretrain, store
from enecg.cli.options import AsJson, Experts, RecipeName, Seed, log
from enecg.cli.predict import predict
from enecg.cli.serve import serve
from enecg.errors import EnecgError, InputError


class CommandGroup(TyperGroup):
    """Shows an error that the user can correct as one line on standard error with an exit code, not as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except EnecgError as error:
            log(f"error: {error}")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            log("interrupted; the store keeps its embeddings, run the command again to continue")
            raise typer.Exit(130) from None
        except OSError as error:
            if error.filename is None:  # not about a file: a pipe that was closed, or a bug
                raise
            log(f"error: {error.filename}: {error.strerror}")
            raise typer.Exit(InputError.exit_code) from None


app = typer.Typer(
    name="enecg", cls=CommandGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help=f"Ensembles of frozen ECG experts with small trained heads. {NOTICE}",
)  # fmt: skip


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"enecg {__version__}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for recordings, bundle and report.")] = Path("demo"),
    subjects: Annotated[int, typer.Option(help="Generated subjects.", min=150)] = 500,
    experts: Experts = "offline",
    recipe: RecipeName = "default",
    seed: Seed = 0,
) -> None:
    """Run everything once, offline: generate ECGs, fit, evaluate on held-out subjects, predict a real ECG, report."""
    from enecg.cli.demo import run

    report = run(out, subjects=subjects, experts=experts, recipe=recipe, seed=seed, say=typer.echo)
    typer.echo(f"report: {report}")


for command in (learn.embed, learn.fit, learn.evaluate, learn.crossval, learn.reproduce, predict, serve):
    app.command()(command)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine: versions, extras, experts, memory, folders. Exit code 1: something must be fixed."""
    from enecg.cli import output
    from enecg.cli.doctor import checks

    found = checks()
    if as_json:
        output.write_json([vars(check) for check in found])
    else:
        output.checks(found)
    if any(check.ok is False for check in found):
        raise typer.Exit(1)


app.command()(pretrain.pretrain)
app.add_typer(experts.app, name="experts")
app.add_typer(store.app, name="store")
