"""Questions about one tree of artifacts: what something was made from, and what it reaches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sublim.evidence.node import Answer, Node, Number
from sublim.evidence.reader import Found, Reader
from sublim.evidence.telling import Down, Numbers, Up
from sublim.evidence.tree import Tree
from sublim.evidence.words import plural
from sublim.lineage.naming import Artifact, SourceFile, Target, resolve


@dataclass(frozen=True)
class Trace:
    """Answers questions about `tree`. Keep it for several: what the first one has opened, the others find open. Its methods
    raise SublimError if nothing is named as asked, several things are, or something cannot be read."""

    tree: Tree

    @cached_property
    def reader(self) -> Reader:
        """Rows and steps."""
        return Reader(self.tree)

    @cached_property
    def numbers(self) -> Numbers:
        """What the report says."""
        return Numbers(self.tree)

    def resolve(self, words: Sequence[str]) -> Target:
        """What `words` name: see `sublim.lineage.naming.resolve`."""
        return resolve(words, self.reader, self.numbers)

    def lineage(self, words: Sequence[str]) -> Answer:
        """What the thing that `words` name was made from."""
        up, target = Up(self.reader, self.numbers), self.resolve(words)
        match target:
            case Artifact():
                root, start = up.artifact(target.cell, "file of" if target.file else ""), [target.cell]
                root = replace(self._file(target), next=(root,)) if target.file else root
            case Found():
                root, start = up.row(target), [place.cell for place in target.places]
            case Number():
                start = [*target.runs, *target.compared]
                if target.part and len(target.runs) == 1:
                    root = up.artifact(start[0])
                else:
                    above = (up.artifact(cell, "run" if cell in target.runs else "compared with") for cell in start)
                    root = target.node("", tuple(above), runs=[*target.runs], untrained=[*target.compared])
            case SourceFile():
                made = [record.plan.code for record in self.tree.records.values() if target.module in record.plan.code]
                digests = sorted({modules[target.module] for modules in made})
                line = f"{plural(len(made), 'artifact')} made with it; digest {', '.join(each[:12] for each in digests)}"
                facts = {"module": target.module, "digests": digests, "artifacts": len(made)}
                root, start = Node("source file", target.name, facts=facts, lines=(f"module {target.module}", line)), []
        named = (target.id,) if isinstance(target, Number) and not target.part else ()
        return Answer("lineage", " ".join(words), self.tree.name, root, self.tree.upstream(start), named)

    def impact(self, words: Sequence[str]) -> Answer:
        """What the thing that `words` name reaches. A row reaches a model if it is in one of its training steps, and then all
        that is made from that model."""
        down, target = Down(self.reader, self.numbers), self.resolve(words)
        own: list[str] = []
        match target:
            case Artifact():
                own = [target.cell]
                root = self._file(target) if target.file else Node("artifact", target.name)
                root = replace(root, next=down.stages(down.beyond(target.cell)))
            case Found():
                own, root = [place.cell for place in target.places], down.row(target)
            case Number():
                root = target.node(next=down.stages([target.cell]))
            case SourceFile():
                direct = [cell for cell, record in self.tree.records.items() if target.module in record.plan.code]
                below = self.tree.downstream(direct)
                facts = {"module": target.module, "direct": len(direct), "follow": len(below) - len(direct)}
                line = f"{plural(len(direct), 'artifact')} made with it, {facts['follow']} more that follow"
                lines = (f"module {target.module}", line)
                root = Node("source file", target.name, facts=facts, next=down.stages(below, direct), lines=lines)
        found = {cell for node in root.walk() for cell in node.reaches}
        reached = tuple(cell for cell in self.tree.records if cell in found)
        through = () if isinstance(target, Number) else (*own, *reached)
        root = replace(root, next=(*root.next, *down.numbers_of(through)))
        named = tuple(number.id for number in self.numbers.of(through))
        return Answer("impact", " ".join(words), self.tree.name, root, reached, named)

    def _file(self, target: Artifact) -> Node:
        output = self.reader.record(target.cell).outputs[str(target.file)]
        facts = {"sha256": output.sha256, "size": output.size}
        return Node("file", target.name, facts=facts, lines=(f"sha256 {output.sha256}",))
