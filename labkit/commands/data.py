"""`labkit data`: which data sets and public weights are here, what is known of them, and fetching them."""

from __future__ import annotations

import dataclasses

import click

from labkit.commands.errors import OneLineErrors
from labkit.data import store
from labkit.data.embedded.registry import EMBEDDED, EmbeddedSet
from labkit.data.fetch import USUAL
from labkit.data.fetch import fetch as fetch_set
from labkit.data.fetch_weights import fetch_weights
from labkit.data.sources.registry import SOURCES
from labkit.data.weights import WEIGHTS
from labkit.errors import LabkitError
from labkit.paths import data_folder, weights_file


@click.group(cls=OneLineErrors, invoke_without_command=True)
@click.pass_context
def data(ctx: click.Context) -> None:
    """Data sets and pretrained networks: list them, show one, fetch some. Without a command: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_sets)


@data.command("list")
def list_sets() -> None:
    """List the data sets that are here, those that can be fetched, and the pretrained networks."""
    click.echo("Embedded:")
    for name, embedded in EMBEDDED.items():
        click.echo(f"  {name:<14} {_generated(embedded)}")
    here = store.available()
    click.echo(f"In {data_folder()} (LABKIT_DATA sets the folder):{'' if here else ' none'}")
    for name in here:
        try:
            lines = _lines(name)
        except LabkitError as error:
            lines = [f"damaged: {error}"]
        click.echo(f"  {name:<14} {lines[0]}")
        for line in lines[1:]:
            click.echo(f"  {'':<14} {line}")
    if absent := [name for name in SOURCES if name not in here]:
        click.echo("Not there; `labkit data fetch NAME` downloads:")
        for name in absent:
            click.echo(f"  {name:<14} {SOURCES[name].description} ({_megabytes(SOURCES[name].size)})")
    click.echo(f"Pretrained networks, in {weights_file('NAME').parent}; `labkit data fetch NAME` downloads:")
    for name, weights in WEIGHTS.items():
        state = "here" if weights_file(name).is_file() else "-"
        click.echo(f"  {name:<29} {state:<5} {weights.description}; licence: {weights.licence}")


def _generated(embedded: EmbeddedSet) -> str:
    """What the list says about a set that the package computes."""
    known = [name for name, source in SOURCES.items() if source.stand_in is embedded]
    stands_in = f"; stands in for {', '.join(known)}" if known else ""
    return f"embedded, generated, no file: {embedded.description}, as many as are asked for{stands_in}"


def _lines(name: str) -> list[str]:
    """What the list says about a set on disk, from its card and the heads of its arrays."""
    card = store.read_card(name)
    lines = [f"{len(card.classes)} classes, {_megabytes(store.size(name))}, licence: {card.licence}"]
    if name in SOURCES and SOURCES[name].build:
        lines += [f"{array}: {head}" for array, head in store.heads(name).items()]
    else:
        for split, (n, *shape) in store.splits(name).items():
            mark = store.fingerprint_of(card, split)
            lines.append(f"{split}: {n:,} images {'x'.join(map(str, shape))}, fingerprint {mark}")
    if card.differences:
        lines.append(f"differs from the original: {card.differences}")
    return lines


@data.command()
@click.argument("name")
def show(name: str) -> None:
    """Show all that is known about NAME, and check the file of a data set against its card."""
    if name in EMBEDDED:
        click.echo(f"{name}: {_generated(EMBEDDED[name])}")
    elif name in store.available():
        store.check(name)
        card = store.read_card(name)
        click.echo(f"{name}: {data_folder() / f'{name}.npz'}, checksum right")
        for line in [*_lines(name), f"cite: {card.source}", f"classes: {', '.join(card.classes)}"]:
            click.echo(f"  {line}")
    elif name in SOURCES:
        source = SOURCES[name]
        click.echo(f"{name}: {source.description}; not there, fetch it with `labkit data fetch {name}`")
        click.echo(f"  {_megabytes(source.size)}, licence: {source.licence}")
        click.echo(f"  cite: {source.citation}")
        for mirror in source.mirrors:
            click.echo(f"  from {mirror}")
    elif name in WEIGHTS:
        weights, path = WEIGHTS[name], weights_file(name)
        where = path if path.is_file() else f"not there, fetch it with `labkit data fetch {name}`"
        click.echo(f"{name}: {weights.description}; {where}")
        click.echo(
            f"  right: {weights.measured:.2f} % of the test images, published: {weights.published or '-'}"
        )
        click.echo(f"  {weights.size / 1e6:.1f} MB, licence: {weights.licence}")
        click.echo(f"  cite: {weights.citation}")
        click.echo(f"  from {weights.address}")
    else:
        known = dict.fromkeys([*EMBEDDED, *store.available(), *SOURCES, *WEIGHTS])
        raise LabkitError(f'no data set or network "{name}"; there are: {", ".join(known)}')


@data.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--mirror", "mirrors", multiple=True, metavar="URL", help="Folder to try before the known ones."
)
@click.option(
    "--min-speed",
    default=USUAL.min_speed / 1000,
    show_default=True,
    metavar="KB",
    help="Speed in kB/s below which the next server is tried.",
)
def fetch(names: tuple[str, ...], mirrors: tuple[str, ...], min_speed: float) -> None:
    """Download data sets, or the weights of pretrained networks, NAME... into the data folder.

    What is there and intact costs nothing; a download that was interrupted goes on where it stopped.

    \b
    Examples:
      labkit data fetch cifar10
      labkit data fetch mnist fashion_mnist
      labkit data fetch cifar10_resnet20
      LABKIT_DATA=~/data labkit data fetch cifar10 --min-speed 5
      labkit data fetch cifar10 --mirror https://mirror.example.org/cifar
    """
    patience = dataclasses.replace(USUAL, min_speed=min_speed * 1000)
    for name in names:
        get = fetch_weights if name in WEIGHTS else fetch_set
        click.echo(f"{name}: {get(name, mirrors, patience)}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
