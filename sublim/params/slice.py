"""Slices: what exactly the cells of a stage depend on."""

from typing import ClassVar

from sublim.params.section import Section


class CellParams(Section):
    """The slice of an experiment that a cell depends on. Its dimensions are among its fields."""

    DIMS: ClassVar[tuple[str, ...]] = ()  #: The dimensions, in the order of the cell's path.

    @property
    def dims(self) -> dict[str, str | int]:
        """What the cell is called: its name among all of its stage, in plain text also where a name is that of a kind."""
        values = {name: getattr(self, name) for name in self.DIMS}
        return {name: str(value) if isinstance(value, str) else value for name, value in values.items()}
