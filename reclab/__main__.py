"""The command line: `python -m reclab recommend "..."` and `python -m reclab doctor`."""

import dataclasses
import json
import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import reclab

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


class Dataset(StrEnum):
    """What can be recommended from."""

    world = "world"
    movielens = "ml-latest-small"


@app.callback(help=f"RecLab {reclab.__version__}: what a sentence wants, and what fits it.")
def main() -> None:
    """Hold the two commands together."""


@app.command()
def recommend(
    sentences: Annotated[
        list[str], typer.Argument(help='What somebody says, like "I want to learn jazz piano".', show_default=False)
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="How many items for each sentence.")] = 5,
    dataset: Annotated[Dataset, typer.Option("--data", help="What to recommend from.")] = Dataset.world,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a sentence, and nothing else.")] = False,
) -> None:
    """Read sentences; name what they want, and the items that fit, with the words that matter."""
    for sentence in sentences:
        if not sentence.strip():
            raise typer.BadParameter("a sentence must have something to read.", param_hint="SENTENCES")
    from reclab import data, encoder, fetch
    from reclab.recommend import Recommender

    try:
        chosen = data.load(dataset.value)
        if k > len(chosen.items):
            raise typer.BadParameter(f"{dataset.value} has {len(chosen.items)} items, got {k}.", param_hint="-k")
        intents = data.load("world").descriptions
        answers = Recommender(encoder.load("minilm"), chosen, intents, progress=sys.stderr.isatty())(sentences, k)
    except (fetch.FetchError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    for answer in answers:
        if as_json:
            typer.echo(json.dumps(dataclasses.asdict(answer), ensure_ascii=False))
        else:
            _show(answer)


def _show(answer):
    table = Table("item", "title", "score", "why", box=None, header_style="dim", pad_edge=False)
    for item in answer.items:
        table.add_row(str(item.item), Text(item.title), f"{item.score:.3f}", Text(", ".join(item.why)))
    console = Console(highlight=False)
    console.print(Text(answer.text, style="bold"))
    console.print(Text(f"intent: {answer.intent} ({answer.probability:.0%})"))
    console.print(table, "")


@app.command()
def doctor() -> None:
    """Say what this machine has, and what to do about what is missing."""
    from reclab.doctor import examine

    signs = {"good": ("ok", "green"), "note": ("note", "yellow"), "bad": ("missing", "red")}
    console, bad = Console(highlight=False), False
    for finding in examine():
        sign, colour = signs[finding.state]
        line = Text.assemble((f"{sign:8}", colour), f"{finding.subject}: {finding.found}")
        console.print(line if not finding.advice else line + Text(f"\n        {finding.advice}"), soft_wrap=True)
        bad = bad or finding.state == "bad"
    raise typer.Exit(1 if bad else 0)


if __name__ == "__main__":
    app(prog_name="reclab")
