"""The `recsvc` command."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from indexer.cli import clean_exit, log_to_stderr, run_loop, settings_or_exit
from indexer.domain.ids import DEFAULT_TENANT
from recsvc.security import SCOPES, Keyring

__all__ = ["main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, rich_markup_mode=None)
keys = typer.Typer(no_args_is_help=True, help="API keys, kept as hashes in a file.")
app.add_typer(keys, name="keys")

Host = Annotated[str, typer.Option(help="Address to serve on.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
KeysFile = Annotated[
    Path | None, typer.Option("--file", help="The file; default RECSVC_API_KEYS_FILE.")
]


@app.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    role: Annotated[
        Literal["all", "api"],
        typer.Option(help="all: API and indexer; api: others fold, with `indexer run`."),
    ] = "all",
    ws_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve on this port, too: 8765, say.")
    ] = None,
) -> None:
    """Serve the HTTP API, with the indexer in the same process or beside others that fold."""
    settings = settings_or_exit()
    log_to_stderr()
    from recsvc.server import serve as serve_until_stopped  # takes seconds; errors come first

    with clean_exit():
        run_loop(serve_until_stopped(settings, host, port, folds=role == "all", ws_port=ws_port))


@app.command()
def demo(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    serve: Annotated[bool, typer.Option(help="Go on serving when the show is over.")] = True,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the console, where there is a display.")
    ] = True,
    shoppers: Annotated[
        int, typer.Option(min=0, max=100, help="Simulated shoppers who then go on.")
    ] = 8,
    rate: Annotated[
        float, typer.Option(min=0.01, max=100.0, help="Events a second of all shoppers.")
    ] = 2.0,
) -> None:
    """Load the sample catalogue, simulate shoppers, and show recommendations change."""
    from recsvc.demo import run_demo

    with clean_exit():
        run_demo(host, port, serve=serve, open_page=open_page, shoppers=shoppers, rate=rate)


@app.command()
def bench(
    events: Annotated[int, typer.Option(min=100, help="Events to play.")] = 10_000,
    users: Annotated[int, typer.Option(min=1, max=1000, help="Concurrent users.")] = 100,
    items: Annotated[int, typer.Option(min=100, help="Items in the catalogue.")] = 1_000,
    outage_s: Annotated[
        float, typer.Option(min=2.0, max=600.0, help="How long the provider is away, seconds.")
    ] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Measure the whole service against a stand-in provider with the seed's latencies."""
    from recsvc.bench import run_bench

    with clean_exit():
        report = run_bench(
            events=events, users=users, items=items, outage_s=outage_s, quiet=as_json
        )
    if as_json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        report.print(Console())


@app.command()
def evaluate(
    dataset: Annotated[str, typer.Argument(help="A shipped data set, or the folder of one.")] = "",
    items: Annotated[Path | None, typer.Option(help="Catalogue: JSONL, CSV, Parquet.")] = None,
    events: Annotated[Path | None, typer.Option(help="What happened, likewise.")] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="last (also called user), time or prequential; repeat; default: all."),
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Also measure simpler and batch models.")] = True,
    ask_every: Annotated[
        int, typer.Option(min=1, help="Ask one in so many of the prequential questions.")
    ] = 1,
    url: Annotated[
        str | None, typer.Option(help="Ask a running service that holds nothing, one split.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out profile, collaborative, popularity, content, learning or decay, to see "
            "what it is worth; repeat."
        ),
    ] = None,
    single_vector: Annotated[
        bool, typer.Option("--single-vector", help="One average instead of several interests.")
    ] = False,
    chart: Annotated[Path | None, typer.Option(help="Write a chart, a PNG.")] = None,
    seed: Annotated[int, typer.Option(help="Of samples and baselines.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure how good the recommendations are on a data set, beside other models."""
    from recsvc.evaluate.command import Ablation, evaluate_files

    ablation = Ablation(frozenset(without or ()), single_vector)
    with clean_exit():
        report = evaluate_files(
            dataset,
            items,
            events,
            splits=split or [],
            baselines=baselines,
            ask_every=ask_every,
            seed=seed,
            url=url,
            ablation=ablation,
            chart=chart,
        )
    if as_json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        report.print(Console())


@app.command("bench-provider")
def bench_provider(
    target: Annotated[
        list[str], typer.Option(help="BASE_URL,MODEL[,KEY_VARIABLE]; repeat to compare.")
    ],
    purpose: Annotated[
        Literal["embedding", "profile"], typer.Option(help="Which calls to make.")
    ] = "embedding",
    calls: Annotated[int, typer.Option(min=1, max=10_000, help="Calls to each target.")] = 50,
    concurrency: Annotated[int, typer.Option(min=1, max=100, help="Calls at once.")] = 5,
    timeout_s: Annotated[float, typer.Option(min=0.1, help="Time a call may take.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Compare endpoints and models by latency, success, cost and dimension, with real calls."""
    from indexer.provider.choices import price_list
    from recsvc.bench.providers import bench_providers, parse_target, print_reports

    settings = settings_or_exit()
    with clean_exit():
        targets = [parse_target(one, os.environ) for one in target]
        prices = price_list(settings)
    reports = asyncio.run(
        bench_providers(
            targets, purpose, prices, calls=calls, concurrency=concurrency, timeout_s=timeout_s
        )
    )
    if as_json:
        print(json.dumps([one.as_dict() for one in reports], indent=2))
    else:
        print_reports(reports, Console())


@app.command()
def costs(
    users: Annotated[
        int, typer.Option(min=0, max=1_000, help="Also this many of the dearest users.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Show what model calls cost: today, this month, and at other models' prices."""
    from indexer.provider.choices import price_list
    from indexer.provider.ledger import read_dearest, read_usage
    from recsvc.costs import cost_report, month_start

    settings = settings_or_exit()
    now = time.time()
    with clean_exit():
        prices = price_list(settings)
        usage, events = read_usage(settings.data_dir, month_start(now))
        dearest = read_dearest(settings.data_dir, month_start(now), users) if users else []
    report = cost_report(usage, events, prices, now, dearest)
    if as_json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        report.print(Console())


@keys.command()
def create(
    name: str,
    scope: Annotated[list[str], typer.Option(help=f"Repeat; of {', '.join(SCOPES)}.")],
    tenant: Annotated[str, typer.Option(help="Whose data the key opens.")] = DEFAULT_TENANT,
    file: KeysFile = None,
) -> None:
    """Make a key and print it, this once."""
    with clean_exit():
        print(_keyring(file).create(name, scope, tenant))


@keys.command("list")
def list_keys(file: KeysFile = None, as_json: AsJson = False) -> None:
    """List the keys; the keys themselves are not kept."""
    with clean_exit():
        known = _keyring(file).all()
    rows = [{"name": k.name, "scopes": list(k.scopes), "tenant": k.tenant} for k in known]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("name", "scopes", "tenant")
    for key in known:
        table.add_row(key.name, " ".join(key.scopes), key.tenant)
    Console().print(table)


@keys.command()
def revoke(name: str, file: KeysFile = None) -> None:
    """Remove a key; a running service forgets it at its next start."""
    with clean_exit():
        _keyring(file).revoke(name)


def _keyring(file: Path | None) -> Keyring:
    return Keyring(file or settings_or_exit().api_keys_file)


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
