"""The `indexer` command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from indexer.bulk import HttpSink, LoadReport, StoreSink, load
from indexer.cli import FAILED, clean_exit, log_to_stderr, settings_or_exit
from indexer.domain.ids import DEFAULT_TENANT
from indexer.ports import DeadLetter
from indexer.rows import Kind, size_of
from indexer.runtime import open_runtime
from indexer.settings import Settings
from indexer.wire import EventIn

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
) -> None:
    """Fold the event log until stopped (SIGTERM or Ctrl-C drains)."""
    settings = settings_or_exit()
    log_to_stderr()
    with clean_exit():
        asyncio.run(_run(settings, until_idle))


@app.command()
def replay() -> None:
    """Forget all user states and popularity, and fold the whole event log again."""
    settings = settings_or_exit()
    log_to_stderr()
    with clean_exit():
        asyncio.run(_replay(settings))


@letters.command("list")
def list_letters(as_json: AsJson = False) -> None:
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
        event = one.event
        table.add_row(
            str(one.letter_id), one.tenant, event["user_id"], event["event_type"], one.reason
        )
    Console().print(table)


@letters.command("retry")
def retry_letters() -> None:
    """Send the events once more, as new ones with new ids, and forget the letters."""
    with clean_exit():
        count = asyncio.run(_retry(settings_or_exit()))
    print(f"{count} sent again")


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
            runtime = await stack.enter_async_context(open_runtime(settings_or_exit()))
            sink = StoreSink(runtime, tenant)
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


async def _run(settings: Settings, until_idle: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with open_runtime(settings) as runtime:
        if until_idle:
            await runtime.drain(timeout_s=float("inf"))
            return
        await stopped.wait()


async def _replay(settings: Settings) -> None:
    async with open_runtime(settings, background=False) as runtime:
        await runtime.forget_users()
    async with open_runtime(settings) as runtime:
        await runtime.drain(timeout_s=float("inf"))


async def _letters(settings: Settings) -> list[DeadLetter]:
    async with open_runtime(settings, background=False) as runtime:
        return await runtime.log.dead_letters(limit=1_000)


async def _retry(settings: Settings) -> int:
    async with open_runtime(settings) as runtime:
        found = await runtime.log.dead_letters(limit=1_000)
        for one in found:
            fields = {k: v for k, v in one.event.items() if k != "event_id"}
            refused = (
                await StoreSink(runtime, one.tenant).events([EventIn.model_validate(fields)])
            ).refused
            if refused:
                raise typer.Exit(FAILED)
            await runtime.log.drop_dead_letters([one.letter_id])
        return len(found)


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
