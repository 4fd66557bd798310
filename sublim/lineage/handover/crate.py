"""The metadata of a bundle as a Provenance Run RO-Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5), the strictest of the
Workflow Run RO-Crate profiles: the workflow, its steps, and one action per artifact with what it used and made.

Written by hand and not with a library for crates: those put in the present time and random identifiers, look at the network,
and everyone who verifies would have to have them. What is written here is checked by a validator of others in the tests.

Not in it, because no record knows: when an artifact was made, and by whom.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from sublim.engine.layout import RECORD
from sublim.engine.record import Output, Record
from sublim.engine.stage import stages
from sublim.lineage.handover import content
from sublim.lineage.handover.content import About, data_name, installed, module_name, package_url, versions

Entity = dict[str, Any]
Tools = Mapping[str, str]  #: Stage → the file of the bundle that makes its artifacts.

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
CRATE = "https://w3id.org/ro/crate/1.1"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    WORKFLOW_CRATE: "Workflow RO-Crate",
}
KNOWN: Mapping[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
"""Entities that are the same in every crate, but for what is empty in them."""
FORMATS: Mapping[str, str] = KNOWN["formats"]  #: Ending of a file → media type.
COMPLETED = "http://schema.org/CompletedActionStatus"


def metadata(about: About, records: Mapping[str, Record], files: Mapping[str, Output]) -> bytes:
    """The text of ro-crate-metadata.json. `records` are those of every artifact in the bundle, by cell; `files` are digest and
    size of every file that is in it beside the metadata and what is made from them, by name."""
    used = {record.plan.stage for record in records.values()}
    tools = {name: module_name(stage.makes, files) for name, stage in stages().items() if name in used}
    listed = [*sorted(files), content.SUMS, content.STATEMENT, *([content.ENVELOPE] if about.signer else [])]
    artifacts = {cell: [name for name in listed if name.startswith(f"{data_name(cell)}/")] for cell in records}
    inside = {name for names in artifacts.values() for name in names}
    graph = [
        {"@id": content.CRATE, "@type": "CreativeWork", "about": _ref("./"), "conformsTo": _refs([CRATE, WORKFLOW_CRATE])},
        _root(about, records, [name for name in listed if name not in inside]),
        *({"@id": uri, "@type": "CreativeWork", "name": name, "version": uri[-3:]} for uri, name in PROFILES.items()),
        KNOWN["terms"],
        *_workflow(records, tools),
        *(_package(name, version) for name, version in installed(records)),
        *(_dataset(cell, record, artifacts[cell]) for cell, record in records.items()),
        *(_action(cell, record, tools) for cell, record in records.items()),
        *(_file(name, files.get(name), records) for name in listed if name not in (content.SNAKEFILE, *tools.values())),
        *(_tool(stage, tool, records, files[tool]) for stage, tool in tools.items()),
        _main(tools, records, files[content.SNAKEFILE]),
        _run(about, records),
    ]
    return (json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False) + "\n").encode()


def _root(about: About, records: Mapping[str, Record], files: Sequence[str]) -> Entity:
    what = "a whole experiment" if about.exported == "all" else about.exported
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"sublim: {what}",
        "description": f"{what} in subliminal learning and everything that it was made from: {len(records)} artifacts with the "
        "records of what made them, the experiment file, and the source code that ran.",
        "datePublished": about.published,
        "license": _ref("#terms"),
        "conformsTo": _refs(PROFILES),
        "hasPart": _refs([*files, *(f"{data_name(cell)}/" for cell in records)]),
        "mainEntity": _ref(content.SNAKEFILE),
        "mentions": _refs(["#run", *(_action_id(cell) for cell in records)]),
    }


def _workflow(records: Mapping[str, Record], tools: Tools) -> list[Entity]:
    pythons = sorted({str(record.environment.get("python")) for record in records.values()})
    return [
        KNOWN["snakemake"],
        KNOWN["python"] | {"version": ", ".join(pythons)},
        KNOWN["input"],
        *(
            {"@id": _step_id(stage), "@type": "HowToStep", "name": stage, "position": str(place), "workExample": _ref(tool)}
            for place, (stage, tool) in enumerate(tools.items(), start=1)
        ),
    ]


def _main(tools: Tools, records: Mapping[str, Record], file: Output) -> Entity:
    parts: Entity = {"hasPart": _refs(tools.values()), "step": _refs(_step_id(stage) for stage in tools)}
    found = KNOWN["main"] | {"version": ", ".join(versions(records, "sublim"))} | parts
    return {**found, **_bytes(file), "encodingFormat": "text/plain"}


def _tool(stage: str, tool: str, records: Mapping[str, Record], file: Output) -> Entity:
    return {
        "@id": tool,
        "@type": ["File", "SoftwareSourceCode"],
        "name": stages()[stage].makes,
        "description": f"Makes the artifacts of the stage {stage}. The modules that it imports are beside it.",
        "version": ", ".join(versions(records, "sublim")),
        "programmingLanguage": _ref(KNOWN["python"]["@id"]),
        "softwareRequirements": _refs(package_url(name, version) for name, version in installed(records)),
        **_bytes(file),
        "encodingFormat": FORMATS[".py"],
    }


def _package(name: str, version: str) -> Entity:
    url = package_url(name, version)
    return {"@id": url, "@type": "SoftwareApplication", "name": name, "softwareVersion": version, "identifier": url}


def _dataset(cell: str, record: Record, files: Sequence[str]) -> Entity:
    without = "" if len(files) > len(record.outputs) else " Its bytes are not in this crate; the record has their digests."
    return {
        "@id": quote(f"{data_name(cell)}/"),
        "@type": "Dataset",
        "name": cell,
        "description": f"An artifact of the stage {record.plan.stage}.{without}",
        "identifier": record.digest,
        "hasPart": _refs(files),
    }


def _action(cell: str, record: Record, tools: Tools) -> Entity:
    adopted = " Older code computed it; this code made others of its kind again, with the same bytes." if record.adopted else ""
    return {
        "@id": _action_id(cell),
        "@type": "CreateAction",
        "name": f"Make {cell}",
        "description": f"The stage {record.plan.stage}, with the params and the code that its record names.{adopted}",
        "identifier": record.key,
        "instrument": _ref(tools[record.plan.stage]),
        "object": _refs([content.PARAMS, *(f"{data_name(used.cell)}/" for used in record.inputs.values())]),
        "result": _ref(f"{data_name(cell)}/"),
        "actionStatus": COMPLETED,
        "subjectOf": _ref(f"{data_name(cell)}/{RECORD}"),
    }


def _run(about: About, records: Mapping[str, Record]) -> Entity:
    return {
        "@id": "#run",
        "@type": "CreateAction",
        "name": "Run of the workflow",
        "description": "All actions of this crate together. Snakemake scheduled them.",
        "instrument": _ref(content.SNAKEFILE),
        "object": _ref(content.PARAMS),
        "result": _refs(f"{data_name(cell)}/" for cell in about.cells(records)),
        "actionStatus": COMPLETED,
    }


def _file(name: str, file: Output | None, records: Mapping[str, Record]) -> Entity:
    path = PurePosixPath(name)
    entity: Entity = {"@id": quote(name), "@type": "File", "name": path.name, **(_bytes(file) if file else {})}
    entity["encodingFormat"] = FORMATS.get(path.suffix, "text/plain")
    if name == content.README:
        entity["about"] = _ref("./")
    if name == content.PARAMS:
        entity["exampleOfWork"] = _ref("#input/params")
    cell = path.parent.as_posix().removeprefix(data_name(""))
    if path.name == RECORD and cell in records:
        entity["about"] = _ref(_action_id(cell))
    return entity


def _bytes(file: Output) -> Entity:
    return {"contentSize": str(file.size), "sha256": file.sha256}


def _step_id(stage: str) -> str:
    return f"{content.SNAKEFILE}#{stage}"


def _action_id(cell: str) -> str:
    return f"#make/{cell}"


def _ref(name: str) -> Entity:
    local = not name.startswith(("#", "https://", "pkg:", f"{content.SNAKEFILE}#"))
    return {"@id": quote(name) if local else name}


def _refs(names: Iterable[str]) -> Entity | list[Entity]:
    """References; a single one is no list, as RO-Crate recommends."""
    found = [_ref(name) for name in names]
    return found[0] if len(found) == 1 else found
