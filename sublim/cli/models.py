"""Commands on models: probe."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from sublim.cli.app import ASK, AsJson, Params, app
from sublim.common.errors import SublimError
from sublim.common.progress import Progress
from sublim.engine import layout
from sublim.engine.planning import experiment as load
from sublim.engine.stage import stages
from sublim.engine.workflow import remembered_params
from sublim.params.elsewhere import UNPACK, GgufModel, HubModel
from sublim.params.models import Model

if TYPE_CHECKING:
    from sublim.models.probed import Probe


@app.command(rich_help_panel=ASK)
def probe(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model of the experiment by its name, a folder, or REPOSITORY@COMMIT of the hub."
        ),
    ],
    params: Params = None,
    as_json: AsJson = False,
) -> None:
    """Try out a model: what it can be used for here, and why not. Takes seconds, and computes no artifact.

    The JSON is what `base` keeps of a model that was made elsewhere (probe.json)."""
    from sublim.models import probed

    found = _probed(model, params)
    if as_json:
        print(probed.written(found), end="")
        return
    lines = {**probed.described(found), **dict(probed.uses(found))}
    width = max(map(len, lines))
    for name, said in lines.items():
        print(f"{name:{width}}  {said}")


def _probed(name: str, params: Path | None) -> "Probe":
    source = _source(name, params)
    from sublim.learn.probe import quiet
    from sublim.models import hub

    quiet()

    if isinstance(source, Path):
        return _tried(name, source)
    with TemporaryDirectory(prefix="sublim-probe-") as folder:
        if isinstance(source, HubModel):
            hub.copy(source, {}, Path(folder), Progress())
        else:
            import_module(UNPACK).unpack(source, {}, Path(folder), Progress())
        return _tried(name, Path(folder))


def _tried(name: str, folder: Path) -> "Probe":
    from sublim.learn.probe import probe as tried

    try:
        return tried(folder, Progress())
    except (SublimError, ValueError) as error:  # what a stage's job would say of it
        # Of a copy that is gone by now nobody wants to know the place.
        said = str(error).removeprefix(f"{folder}: ").replace(str(folder), name)
        raise SublimError(f"{name}: {said}") from None


def _source(name: str, params: Path | None) -> HubModel | GgufModel | Path:
    """What `name` means: a model to be copied, or the folder of one that was made here."""
    from sublim.models.hub import variables

    repository, at, commit = name.partition("@")
    path = params or remembered_params()
    models: Mapping[str, Model] = load(path).models if path.is_file() else {}
    found, there = models.get(name), bool(name) and Path(name).is_dir()
    if found is not None and there:
        raise SublimError(f"{name}: a model of {path} and a folder here are called so: write ./{name} for the folder")
    if there:
        return HubModel(kind="hub", path=name, template=variables(Path(name)))
    if at and "/" in repository:
        try:
            return HubModel(kind="hub", repo=repository, revision=commit)
        except ValidationError:
            raise SublimError(f"{name}: expected owner/name@ and the 40 hexadecimal digits of a commit") from None
    if found is None:
        raise SublimError(
            f"{name}: expected a folder, a repository of the hub with its commit (owner/name@0123…), or a model of {path} "
            f"({', '.join(models) or 'there is none'}), found none of these"
        )
    if isinstance(found, HubModel | GgufModel):
        return found
    (base,) = (stage for stage in stages().values() if stage.probe is not None)
    made = layout.artifact(base.cell({"model": name}))
    if not made.is_dir():
        raise SublimError(f"{name}: expected it in {made}, found that it is not made yet: `snakemake` makes it")
    return made
