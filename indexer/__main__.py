"""The `indexer` command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from indexer.bulk import HttpSink, LoadReport, StoreSink, load
from indexer.carry import Carried, export_log, import_log
from indexer.cli import FAILED, clean_exit, log_to_stderr, run_loop, settings_or_exit
from indexer.data_dir import owning
from indexer.dead_letters import LETTERS_MAX, Retried, letters_log, retry_letters
from indexer.domain.ids import DEFAULT_TENANT
from indexer.domain.position import read_position
from indexer.errors import SettingsError
from indexer.health import serving_health
from indexer.learners import load_jobs, load_learner
from indexer.ports import DeadLetter, EventLog
from indexer.rebuild import RebuildReport, rebuild
from indexer.rows import Kind, size_of
from indexer.runtime import open_runtime, running
from indexer.settings import Settings
from indexer.streams import open_streams

__all__ = ["main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, rich_markup_mode=None)
letters = typer.Typer(no_args_is_help=True, help="Events that could not be folded.")
app.add_typer(letters, name="dead-letters")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("load")
def load_files(
    files: Annotated[list[str], typer.Argument(help="JSONL, CSV, TSV or Parquet; - is stdin.")],
    kind: Annotated[
        Kind | None, typer.Option(help="What the rows are; told by the first one if absent.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="A running service; without it, into RECSVC_DATA_DIR.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="RECSVC_API_KEY", help="Sent to the service.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose data it is (without --url).")] = DEFAULT_TENANT,
    on_error: Annotated[
        Literal["reject-file", "stop"], typer.Option(help="What to do with a bad row.")
    ] = "reject-file",
    reject_file: Annotated[
        Path | None, typer.Option(help="Where bad rows go; default FILE.rejected.jsonl.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load items or events. Running it again is harmless and skips what is there already."""
    log_to_stderr(logging.WARNING)
    with clean_exit():
        reports = asyncio.run(
            _load(files, kind, url, api_key, tenant, on_error == "stop", reject_file)
        )
    if as_json:
        print(json.dumps({file: report.as_dict() for file, report in reports.items()}))
        return
    table = Table("file", "read", "stored", "unchanged", "pending", "rejected")
    for file, report in reports.items():
        counts = (report.read, report.stored, report.unchanged, report.pending, report.rejected)
        table.add_row(file, *map(str, counts))
    Console().print(table)
    for report in reports.values():
        if report.reject_file:
            Console(stderr=True).print(f"rejected rows, with reasons: {report.reject_file}")


@app.command()
def run(
    until_idle: Annotated[bool, typer.Option(help="Stop once everything is folded.")] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve /healthz, /readyz and /metrics there."),
    ] = None,
    host: Annotated[str, typer.Option(help="With --port: the address to serve on.")] = "127.0.0.1",
) -> None:
    """Fold the event log until stopped (SIGTERM or Ctrl-C finishes what is under way).

    Of a shared log any number of these run, each with a part of its partitions.
    """
    settings = settings_or_exit()
    log_to_stderr()
    with clean_exit():
        run_loop(_run(settings, until_idle, host, port))


@app.command()
def replay() -> None:
    """Forget all user states and popularity, and fold the whole event log again."""
    settings = settings_or_exit()
    log_to_stderr()
    with clean_exit():
        if settings.shared:
            raise SettingsError(
                "replay is for a log in the data directory; of "
                f"RECSVC_EVENT_LOG_URL={settings.event_log_url}, run 'indexer rebuild'"
            )
        asyncio.run(_replay(settings))


@app.command("rebuild")
def rebuild_collections(
    after: Annotated[
        str, typer.Option(help="Only events beyond this position, as answers tell it.")
    ] = "0",
    accept_differences: Annotated[
        bool, typer.Option(help="Switch also where the new collections differ from the old.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make all collections anew from the log, compare them with those in use, and switch.

    Services go on meanwhile. Nothing is switched, and the exit code is 1, where they differ.
    """
    settings = settings_or_exit()
    log_to_stderr(logging.WARNING)
    with clean_exit():
        try:
            start = read_position(after)
        except ValueError as exc:
            raise SettingsError(f"--after {after}: {exc}") from exc
        say = Console(stderr=True).print
        report = asyncio.run(
            rebuild(settings, start=start, accept_differences=accept_differences, say=say)
        )
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        _show_rebuilt(report)
    if not report.switched:
        raise typer.Exit(FAILED)


@app.command("export")
def export(
    file: Annotated[str, typer.Argument(help="Where to; - is stdout, .gz is compressed.")],
) -> None:
    """Write the event log and the catalogue to a file, to carry them elsewhere."""
    settings = settings_or_exit()
    log_to_stderr(logging.WARNING)
    with clean_exit():
        carried = asyncio.run(_carry(settings, file, export_log))
    _say(f"{carried.events} events and {carried.items} items are written to {file}")


@app.command("import")
def import_file(
    file: Annotated[str, typer.Argument(help="What `indexer export` has written; - is stdin.")],
) -> None:
    """Append an exported log to the one that the settings name; again, only what is missing."""
    settings = settings_or_exit()
    log_to_stderr(logging.WARNING)
    with clean_exit():
        carried = asyncio.run(_carry(settings, file, import_log))
    _say(
        f"{carried.events} events and {carried.items} items appended; {carried.known} known, "
        f"{carried.refused} refused as their ids are of others"
    )


@letters.command("list")
def show_letters(as_json: AsJson = False) -> None:
    """List events that could not be folded, with the reasons."""
    with clean_exit():
        found = asyncio.run(_letters(settings_or_exit()))
    if as_json:
        rows = [
            {"id": one.letter_id, "tenant": one.tenant, "event": one.event, "reason": one.reason}
            for one in found
        ]
        print(json.dumps(rows))
        return
    table = Table("id", "tenant", "user", "event", "reason")
    for one in found:
        user, kind = (str(one.event.get(name, "")) for name in ("user_id", "event_type"))
        table.add_row(one.letter_id, one.tenant, user, kind or str(one.event)[:60], one.reason)
    Console().print(table)


@letters.command("retry")
def send_letters_again() -> None:
    """Send the events once more, as new ones with new ids, and forget the letters.

    What is still no event stays, with a line that says why, and the exit code is 1.
    """
    with clean_exit():
        retried = asyncio.run(_retry(settings_or_exit()))
    for letter_id, reason in retried.kept.items():
        _say(f"letter {letter_id} stays: {reason}")
    print(f"{retried.sent} sent again")
    if retried.kept:
        raise typer.Exit(FAILED)


async def _letters(settings: Settings) -> list[DeadLetter]:
    async with letters_log(settings) as log:
        return await log.dead_letters(limit=LETTERS_MAX)


async def _retry(settings: Settings) -> Retried:
    async with letters_log(settings) as log:
        return await retry_letters(log, settings.event_weights)


async def _load(
    files: list[str],
    kind: Kind | None,
    url: str | None,
    api_key: str | None,
    tenant: str,
    stop: bool,
    reject_file: Path | None,
) -> dict[str, LoadReport]:
    reports: dict[str, LoadReport] = {}
    async with contextlib.AsyncExitStack() as stack:
        sink: HttpSink | StoreSink
        if url is not None:
            sink = HttpSink(url, api_key)
            stack.push_async_callback(sink.close)
        else:
            settings = settings_or_exit()
            opened = open_runtime(settings, folds=not settings.shared)
            sink = StoreSink(await stack.enter_async_context(opened), tenant)
        bar = stack.enter_context(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[rows]} rows"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
        )
        begun: set[Path] = set()
        for file in files:
            task = bar.add_task(file, total=size_of(file), rows=0)

            def show(read: int, report: LoadReport, task: object = task) -> None:
                bar.update(task, completed=read, rows=report.read)  # type: ignore[arg-type]

            rejected = None if stop else reject_file or _reject_file_of(file)
            if rejected is not None and rejected not in begun:
                rejected.unlink(missing_ok=True)
                begun.add(rejected)
            reports[file] = await load(file, sink, kind=kind, reject_file=rejected, progress=show)
    return reports


def _reject_file_of(file: str) -> Path:
    return Path("stdin.rejected.jsonl" if file == "-" else f"{file}.rejected.jsonl")


async def _run(settings: Settings, until_idle: bool, host: str, port: int | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with contextlib.AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(open_runtime(settings))
        runtime.applier.learner = load_learner(runtime)
        await stack.enter_async_context(running(load_jobs(runtime), runtime.note_death))
        if port is not None:
            await stack.enter_async_context(serving_health(runtime, host, port))
        if until_idle:
            await runtime.idle()
            return
        await stopped.wait()


async def _carry(
    settings: Settings,
    file: str,
    carry: Callable[[EventLog, str, Callable[[Carried], None]], Awaitable[Carried]],
) -> Carried:
    bar = Progress(
        TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True)
    )
    with owning(settings), bar:
        task = bar.add_task("0 events")
        streams = await open_streams(settings)
        try:
            return await carry(
                streams.log,
                file,
                lambda so_far: bar.update(task, description=f"{so_far.events} events"),
            )
        finally:
            await streams.log.close()


def _show_rebuilt(report: RebuildReport) -> None:
    table = Table("collection", "before", "after", "alike")
    for one in report.comparisons:
        table.add_row(one.collection, str(one.before), str(one.after), f"{one.alike:.1%}")
    if report.comparisons:
        Console().print(table)
    _say(
        f"{report.events} events and {report.items} items folded; "
        + ("switched" if report.switched else "not switched, as they differ: --accept-differences")
    )


async def _replay(settings: Settings) -> None:
    async with open_runtime(settings, background=False) as runtime:
        await runtime.forget_users()
    async with open_runtime(settings) as runtime:
        await runtime.drain(timeout_s=float("inf"))


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
