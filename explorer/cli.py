"""The ``absorption-explorer`` command."""

from __future__ import annotations

import json
import signal
import sys
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.figures_command import figures
from explorer.format import count, printable
from explorer.query_command import SETTINGS, query
from explorer.session_limits import MAX_SESSIONS, NUM_PROCS, SESSION_SECONDS, default_max_sessions, default_num_procs
from explorer.sources_command import cache_app, catalogue
from explorer.store import embedded_suites, open_store, suites_of
from explorer.terminal import fail as _fail
from explorer.terminal import find_suites, open_suite, opening
from explorer.terminal import print_stderr as _print_stderr
from explorer.terminal import progress_bar as _progress
from explorer.terminal import show_list as _list
from queries import Problem, QueryError, Store, SuiteError, check_suite
from queries.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

_SOURCE = "suite or results, which are imported into a cache: folder, file, archive, URL, or name from the catalogue"
_SUITES = typer.Argument(metavar="SOURCE", help=f"Each a {_SOURCE}; default: the embedded suites.", show_default=False)
_SUITE = typer.Argument(metavar="SOURCE", help=f"A {_SOURCE}; default: the first embedded suite.", show_default=False)
_ORIGINS = typer.Option(
    metavar="HOST[:PORT]",
    help="Host in the address bar of visitors, if it is not this machine; may be given several times.",
    show_default=False,
)
_EMBED_ORIGINS = typer.Option(
    metavar="ORIGIN",
    envvar="ABSORPTION_EXPLORER_EMBED_IN",
    help="Site whose pages may show the dashboard or a view of it in a frame, as in https://course.example; may be"
    " given several times.",
    show_default="none",
)
#: Options that select an SAE and a concept.
_Sae = Annotated[str | None, typer.Option(help="Id of the SAE.", show_default=False)]
_Layer = Annotated[int | None, typer.Option(help="Its layer, if no id is given.", show_default=False)]
_Width = Annotated[int | None, typer.Option(help="Its nominal width.", show_default=False)]
_L0 = Annotated[float | None, typer.Option(help="Its L0.", show_default=False)]
_Architecture = Annotated[str | None, typer.Option(help="Its architecture.", show_default=False)]
_Metric = Annotated[
    str | None,
    typer.Option(help="Metric of absorption (info lists those of a suite).", show_default="the suite's own"),
]
_Letter = Annotated[str | None, typer.Option(help="The first letter, as the concept.", show_default=False)]
#: Maximum names of unused numbers printed per file; --json lists all.
_LISTED_NAMES = 12
_JSON = typer.Option("--json", help="Print JSON instead of text.")


#: X-axes of plots over SAEs (`explorer.state.X_AXES`).
_NUMBERS = ("l0", "layer", "width", "variance-explained", "loss-recovered", "dead-fraction")
#: The keys of `explorer.figures.FIGURES`.
_FIGURES = (
    "cosine",
    "k-sparse",
    "precision-vs-l0",
    "recall-vs-l0",
    "precision-vs-recall",
    *(f"{what}-vs-{x}" for what in ("absorption", "splits") for x in _NUMBERS),
    "absorption-heatmap",
    "threshold-sensitivity",
    "token-shares",
    "concept-shares",
    "splitting-tree",
)


class Format(StrEnum):
    """The formats of results that can be imported."""

    AUTO = "auto"
    PUBLISHED = "published"
    SAE_SPELLING = "sae-spelling"
    SAEBENCH = "saebench"
    ABSORPTION_ATLAS = "absorption-atlas"
    TABLES = "tables"


app.command(context_settings=SETTINGS)(query)
app.command()(figures)


@app.callback()
def _describe() -> None:
    """Explore feature splitting and feature absorption in sparse autoencoders."""


@app.command()
def serve(
    suites: Annotated[list[str] | None, _SUITES] = None,
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the server.")] = 5006,
    address: Annotated[str | None, typer.Option(help="Address to listen at.", show_default="all")] = None,
    prefix: Annotated[
        str, typer.Option(help="Path in front of all addresses, as in /explorer.", show_default="none")
    ] = "",
    use_xheaders: Annotated[bool, typer.Option("--use-xheaders", help="Trust a proxy's X-Forwarded headers.")] = False,
    open_others: Annotated[
        bool | None,
        typer.Option(
            "--open-others/--no-open-others",
            help="Let visitors open other suites from the page: any source if the server listens to this machine"
            " only, otherwise entries of the catalogue.",
            show_default="if it listens to this machine only",
        ),
    ] = None,
    num_procs: Annotated[
        int | None,
        typer.Option(min=1, envvar=NUM_PROCS, help="Number of worker processes.", show_default="one per processor"),
    ] = None,
    session_seconds: Annotated[
        int, typer.Option(min=1, help="Seconds for which a session is kept without a browser.")
    ] = SESSION_SECONDS,
    max_sessions: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar=MAX_SESSIONS,
            help="Maximum number of sessions per process.",
            show_default="by the memory",
        ),
    ] = None,
    allow_websocket_origin: Annotated[list[str] | None, _ORIGINS] = None,
    embed_origin: Annotated[list[str] | None, _EMBED_ORIGINS] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve the dashboard at http://localhost:PORT/dashboard."""
    from explorer import server
    from explorer.guard import allow_embedding
    from explorer.served import Served, may_open

    try:
        allow_embedding(embed_origin or [])
    except ValueError as error:
        _fail(str(error), error)
    paths = find_suites(*(suites or []))
    num_procs = num_procs or default_num_procs()
    try:
        # Opened here only to check the suites; each server process opens its own store.
        open_store(*paths).close()
    except SuiteError as error:
        _fail(str(error), error)
    try:
        server.serve(
            Served(
                paths,
                may_open(
                    wanted=open_others,
                    address=address,
                    is_behind_proxy=use_xheaders or bool(allow_websocket_origin) or bool(prefix.strip("/")),
                ),
            ),
            num_procs=num_procs,
            session_seconds=session_seconds,
            max_sessions=max_sessions or default_max_sessions(num_procs),
            open_browser=open_,
            port=port,
            address=address,
            prefix=prefix,
            use_xheaders=use_xheaders,
            websocket_origin=allow_websocket_origin or [f"localhost:{port}", f"127.0.0.1:{port}"],
        )
    except OSError as error:
        _fail(f"port {port} cannot be used ({error.strerror}); choose another with --port", error)


@app.command("import")
def import_(
    source: Annotated[
        Path,
        typer.Argument(help="Folder of the results, one of its JSON, parquet or CSV files, or a zip or tar archive."),
    ],
    *,
    to: Annotated[Path, typer.Option(help="Folder for the suite; its name becomes the suite's.")],
    format_: Annotated[Format, typer.Option("--format", help="Format of the results.")] = Format.AUTO,
    only: Annotated[str | None, typer.Option(help="Import only the SAEs whose name matches this (SAEBench).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing suite.")] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Convert results to a suite; an interrupted import continues where it stopped.

    Formats: the published explorer's data folder, sae-spelling's experiments, SAEBench's absorption eval,
    absorption-atlas's results, and your own tables as CSV or parquet.
    """
    from ingest import IngestError, import_results

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _progress("Looking at the source") as report_progress:
            manifest, report = import_results(
                source, to, format=format_.value, only=only, force=force, progress=report_progress
            )
    except IngestError as error:
        _fail(str(error), error)
    except KeyboardInterrupt as error:
        _fail("interrupted; run the same command again to continue", error)
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=1, ensure_ascii=False))
        return
    typer.echo(f"{to}: {len(manifest.saes):,} SAEs, {sum(table.rows for table in manifest.tables.values()):,} rows")
    typer.echo(f"{len(report.read):,} files read, {len(report.skipped):,} skipped, {len(report.rejected):,} rejections")
    unused = [f"{_some(files, 1)}: {_some(names, _LISTED_NAMES)}" for names, files in report.unused.items()]
    for heading, lines in (
        ("Skipped (not used):", sorted(report.skipped)),
        ("Rejected (everything else was imported):", [f"{file}: {reason}" for file, reason in report.rejected]),
        ("Numbers that were not imported (a suite does not use them):", unused),
        ("Notes:", report.notes),
    ):
        _list(heading, lines)


@app.command()
def measure(
    config: Annotated[Path, typer.Argument(help="TOML file that describes the measurement; see measure/smollm2.toml.")],
    *,
    to: Annotated[Path, typer.Option(help="Folder for the suite; its name becomes the suite's.")],
    work: Annotated[
        Path | None, typer.Option(help="Folder for intermediate results; default: beside the suite.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    address: Annotated[str | None, typer.Option(help="Dask cluster to join.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all inputs and estimate the cost only.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing suite.")] = False,
) -> None:
    """Measure the SAEs of a model and write a suite; an interrupted measurement continues where it stopped."""
    from ingest import IngestError

    try:
        # Its dependencies are an extra that serving does not need.
        command = import_module("measure.command")
    except ImportError as error:
        _fail(f"{error.name} is not installed; pip install 'absorption-explorer[measure]'", error)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    work = work or to.with_name(f".{to.name}.work")
    try:
        with _progress("Reading the model") as report_progress:
            done = command.measure(
                config,
                to,
                work=work,
                workers=workers,
                address=address,
                dry_run=dry_run,
                force=force,
                log=lambda line: typer.echo(line, err=True),
                progress=report_progress,
            )
    except (IngestError, command.MeasureError) as error:
        for line in error.args:
            _print_stderr(str(line))
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        _fail("interrupted; run the same command again to continue", error)
    for line in done.lines:
        typer.echo(line)
    for line in done.failed:
        _print_stderr(line)
    if done.failed:
        raise typer.Exit(1)


@app.command()
def snapshot(
    suite: Annotated[str | None, _SUITE] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")],
    sae: _Sae = None,
    layer: _Layer = None,
    width: _Width = None,
    l0: _L0 = None,
    architecture: _Architecture = None,
    metric: _Metric = None,
    concept: Annotated[str | None, typer.Option(help="Id of the concept shown first.", show_default=False)] = None,
    letter: _Letter = None,
    latent: Annotated[int | None, typer.Option(help="Latent shown first.", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write one SAE with a family of concepts to an HTML file that works without server and network."""
    from explorer.snapshot import SnapshotError, save_snapshot

    state = _given(
        sae=sae,
        layer=layer,
        width=width,
        l0=l0,
        architecture=architecture,
        metric=metric,
        concept=concept,
        letter=letter,
        latent=latent,
    )
    try:
        with open_suite(suite) as store, _progress("Opening the suite") as report_progress:
            save_snapshot(
                store,
                output,
                force=force,
                progress=report_progress,
                **state,
            )
    except (SuiteError, QueryError, SnapshotError) as error:
        _fail(str(error), error)
    typer.echo(f"{output}: {output.stat().st_size / 1e6:,.1f} MB")


@app.command()
def publish(
    suites: Annotated[list[str] | None, _SUITES] = None,
    *,
    to: Annotated[Path, typer.Option(help="Folder for the site: a new or empty one.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace the files of an earlier publish; keep all others.")
    ] = False,
) -> None:
    """Write suites as a static site for any web host, such as GitHub Pages."""
    from explorer.publish import PublishError, publish_site

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with open_store(*find_suites(*(suites or []))) as store, _progress("Opening the suites") as report_progress:
            published = publish_site(store, to, force=force, progress=report_progress)
    except (SuiteError, QueryError, PublishError) as error:
        _fail(str(error), error)
    except KeyboardInterrupt as error:
        _fail("interrupted; nothing was published", error)
    typer.echo(f"{to}: {published.num_files:,} files, {published.num_bytes / 1e6:,.1f} MB")


@app.command()
def figure(
    name: Annotated[str, typer.Argument(help=f"Name of the figure: {', '.join(_FIGURES)}.")],
    suite: Annotated[str | None, _SUITE] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, .svg or .png.")],
    sae: _Sae = None,
    layer: _Layer = None,
    width: _Width = None,
    l0: _L0 = None,
    architecture: _Architecture = None,
    metric: _Metric = None,
    concept: Annotated[str | None, typer.Option(help="Id of the concept.", show_default=False)] = None,
    letter: _Letter = None,
    latent: Annotated[int | None, typer.Option(help="Latent that is ringed.", show_default=False)] = None,
    size: Annotated[tuple[float, float], typer.Option(help="Width and height in inches.")] = (6, 3),
    font: Annotated[str | None, typer.Option(help="Font family, as in CSS.", show_default=False)] = None,
    font_size: Annotated[float, typer.Option(help="Font size in points.")] = 9,
    dpi: Annotated[float, typer.Option(help="Pixels per inch of a PNG.")] = 300,
    dark: Annotated[bool, typer.Option("--dark", help="Draw in the dark theme.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a figure for a paper."""
    from explorer.app import Explorer

    state = _given(
        sae=sae,
        layer=layer,
        width=width,
        l0=l0,
        architecture=architecture,
        metric=metric,
        concept=concept,
        letter=letter,
        latent=latent,
    )
    try:
        with open_suite(suite) as store:
            Explorer(store, **state).save_figure(
                name, output, size=size, font=font, font_size=font_size, dpi=dpi, dark=dark, overwrite=force
            )
    except (SuiteError, QueryError, ValueError) as error:
        _fail(str(error), error)
    typer.echo(f"{output}: {output.stat().st_size / 1e3:,.0f} kB")


@app.command()
def check(
    suite: Annotated[str | None, _SUITE] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Check every file and value of a suite; lists all problems, with exit code 1 if there are any."""
    try:
        with opening() as reporting:
            folders = suites_of(suite, **reporting, fetch_suites=True) if suite else embedded_suites()
        found = {str(folder): check_suite(Path(folder)) for folder in folders}
    except SuiteError as error:
        found = {str(suite): [Problem(MANIFEST, None, None, None, str(error))]}
    problems = [problem for listed in found.values() for problem in listed]
    if as_json:
        result = {"ok": not problems, "problems": [problem.as_dict() for problem in problems]}
        typer.echo(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        for folder, listed in found.items():
            typer.echo(f"{folder}: {count(len(listed), 'problem') if listed else 'no problems'}")
            _list("", [str(problem) for problem in listed])
    if problems:
        raise typer.Exit(1)


@app.command()
def upgrade(suite: Annotated[Path, typer.Argument(help="Folder of a suite.")]) -> None:
    """Convert a suite of the first layout to the newest one."""
    from ingest import IngestError
    from queries.upgrade import upgrade_suite

    try:
        upgrade_suite(suite)
    except (SuiteError, IngestError) as error:
        _fail(str(error), error)
    typer.echo(f"{suite}: now has the current layout")


@app.command()
def info(
    suite: Annotated[str | None, _SUITE] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Describe the contents of a suite."""
    try:
        with open_suite(suite) as store:
            found = _info(store)
    except (SuiteError, QueryError) as error:
        _fail(str(error), error)
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    table = Table(show_header=False, box=None)
    for name, value in found.items():
        parts = [part for part, is_there in value.items() if is_there] if isinstance(value, dict) else value
        shown = ", ".join(parts) if isinstance(parts, list) else parts
        # As plain text, because texts of a suite could contain Rich markup.
        text = "unknown" if shown is None else f"{shown:,}" if isinstance(shown, int) else printable(str(shown))
        table.add_row(name, Text(text))
    Console().print(table)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _info(store: Store) -> dict[str, Any]:
    """Describe the one suite of `store`."""
    ((name, opened),) = store.suites.items()
    method = opened.manifest.method
    counted = store.fetch(
        "suite_info",
        suite=name,
        metric=method.metric,
        tau=method.tau,
        cosine_threshold=method.cosine_threshold,
        effect_margin=method.effect_margin,
    )
    row = json.loads(counted.to_json(orient="records"))[0]
    has = {part: row.pop(part) for part in ("cosines", "examples", "activations", "dashboards")}
    concepts, saes, metrics = (store.fetch(each) for each in ("concepts", "saes", "metrics"))
    return {
        "suite": name,
        "model": opened.manifest.model.name,
        "metric": method.metric,
        **row,
        "families": list(dict.fromkeys(concepts["family"])),
        "architectures": sorted(saes["architecture"].dropna().unique()),
        "metrics": metrics["metric"].tolist(),
        "has": has,
    }


def _some(names: Sequence[str], most: int) -> str:
    """List the first `most` names, and the number of others."""
    others = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{others}"


# Listed after the most used commands.
app.command()(catalogue)
app.add_typer(cache_app, name="cache")


def main() -> None:
    """Run the command."""
    sys.exit(app())


if __name__ == "__main__":
    main()
