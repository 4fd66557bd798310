"""The metadata of a bundle as a Provenance Run RO-Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5), the strictest of the
Workflow Run RO-Crate profiles: the workflow, its steps, and one action per artifact with what it used and made.

Written by hand and not with a library for crates: those put in the present time and random identifiers, look at the network,
and everyone who verifies would have to have them. What is written here is checked by a validator of others in the tests.

Not in it, because no record knows: when an artifact was made, and by whom.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from sublim.lineage.handover.content import (
    CRATE,
    ENVELOPE,
    PARAMS,
    README,
    SNAKEFILE,
    STATEMENT,
    SUMS,
    About,
    code_name,
    data_name,
    package_url,
    versions,
)
from sublim.plan.cells import STAGES
from sublim.plan.layout import RECORD
from sublim.plan.record import Output, Record

Entity = dict[str, Any]

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    WORKFLOW_CRATE: "Workflow RO-Crate",
}
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
PYTHON = "https://www.python.org"
COMPLETED = "http://schema.org/CompletedActionStatus"
UNSUMMED = (SUMS, STATEMENT, ENVELOPE)
"""Files that are made from this metadata, so that their digests cannot stand in it."""
FORMATS = {
    ".parquet": "application/vnd.apache.parquet",
    ".json": "application/json",
    ".safetensors": "application/octet-stream",
    ".html": "text/html",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".py": "text/x-python",
    ".yaml": "application/yaml",
    ".pem": "application/x-pem-file",
}


def metadata(about: About, records: Mapping[str, Record], files: Mapping[str, Output]) -> bytes:
    """The text of ro-crate-metadata.json.

    Args:
        about: what the bundle is.
        records: cell → record, of every artifact in it.
        files: name → digest and size, of every file that is in the bundle beside the metadata and what is made from them.
    """
    stages = [stage for stage in STAGES if any(record.plan.stage == stage for record in records.values())]
    listed = [*sorted(files), SUMS, STATEMENT, *([ENVELOPE] if about.signer else [])]
    artifacts = {cell: [name for name in listed if name.startswith(f"{data_name(cell)}/")] for cell in records}
    inside = {name for names in artifacts.values() for name in names}
    graph = [
        {
            "@id": CRATE,
            "@type": "CreativeWork",
            "about": _ref("./"),
            "conformsTo": _refs(["https://w3id.org/ro/crate/1.1", WORKFLOW_CRATE]),
        },
        _root(about, records, [name for name in listed if name not in inside]),
        *_profiles(),
        *_workflow(records, stages),
        *_packages(records),
        *(_dataset(cell, record, artifacts[cell]) for cell, record in records.items()),
        *(_action(cell, record) for cell, record in records.items()),
        *(_file(name, files.get(name), records) for name in listed if name not in _described(stages)),
        *(_tool(stage, records, files[_stage_file(stage)]) for stage in stages),
        _main(stages, records, files[SNAKEFILE]),
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
        "mainEntity": _ref(SNAKEFILE),
        "mentions": _refs(["#run", *(_action_id(cell) for cell in records)]),
    }


def _profiles() -> list[Entity]:
    return [
        *({"@id": uri, "@type": "CreativeWork", "name": name, "version": uri[-3:]} for uri, name in PROFILES.items()),
        {
            "@id": "#terms",
            "@type": "CreativeWork",
            "name": "No license chosen",
            "description": "Nobody has chosen a license for the data and weights in this crate. Ask those who gave it to you.",
        },
    ]


def _workflow(records: Mapping[str, Record], stages: Sequence[str]) -> list[Entity]:
    return [
        {
            "@id": SNAKEMAKE,
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "identifier": _ref("https://doi.org/10.12688/f1000research.29032.2"),
            "url": _ref("https://snakemake.readthedocs.io"),
        },
        {
            "@id": PYTHON,
            "@type": "ComputerLanguage",
            "name": "Python",
            "version": ", ".join(sorted({str(record.environment.get("python")) for record in records.values()})),
            "url": _ref(PYTHON),
        },
        {
            "@id": "#input/params",
            "@type": "FormalParameter",
            "name": PARAMS,
            "description": "The experiment: models, traits, seeds, recipes, arms, evaluation.",
            "additionalType": "File",
            "conformsTo": _ref("https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"),
            "valueRequired": True,
            "workExample": _ref(PARAMS),
        },
        *(
            {
                "@id": _step_id(stage),
                "@type": "HowToStep",
                "name": stage,
                "position": str(place),
                "workExample": _ref(_stage_file(stage)),
            }
            for place, stage in enumerate(stages, start=1)
        ),
    ]


def _main(stages: Sequence[str], records: Mapping[str, Record], file: Output) -> Entity:
    return {
        "@id": SNAKEFILE,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": "sublim",
        "description": "Bases, teachers, data sets, students, evaluations, report.",
        "version": ", ".join(versions(records, "sublim")),
        "programmingLanguage": _ref(SNAKEMAKE),
        "hasPart": _refs(_stage_file(stage) for stage in stages),
        "step": _refs(_step_id(stage) for stage in stages),
        "input": _ref("#input/params"),
        **_bytes(file),
        "encodingFormat": "text/plain",
    }


def _tool(stage: str, records: Mapping[str, Record], file: Output) -> Entity:
    return {
        "@id": _stage_file(stage),
        "@type": ["File", "SoftwareSourceCode"],
        "name": f"sublim.stages.{stage}",
        "description": f"Makes the artifacts of the stage {stage}. The modules that it imports are beside it.",
        "version": ", ".join(versions(records, "sublim")),
        "programmingLanguage": _ref(PYTHON),
        "softwareRequirements": _refs(package_url(name, version) for name, version in _installed(records)),
        **_bytes(file),
        "encodingFormat": FORMATS[".py"],
    }


def _packages(records: Mapping[str, Record]) -> list[Entity]:
    return [
        {
            "@id": package_url(name, version),
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
            "identifier": package_url(name, version),
        }
        for name, version in _installed(records)
    ]


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


def _action(cell: str, record: Record) -> Entity:
    return {
        "@id": _action_id(cell),
        "@type": "CreateAction",
        "name": f"Make {cell}",
        "description": f"The stage {record.plan.stage}, with the params and the code that its record names.",
        "identifier": record.key,
        "instrument": _ref(_stage_file(record.plan.stage)),
        "object": _refs([PARAMS, *(f"{data_name(used.cell)}/" for used in record.inputs.values())]),
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
        "instrument": _ref(SNAKEFILE),
        "object": _ref(PARAMS),
        "result": _refs(f"{data_name(cell)}/" for cell in about.cells(records)),
        "actionStatus": COMPLETED,
    }


def _file(name: str, file: Output | None, records: Mapping[str, Record]) -> Entity:
    path = PurePosixPath(name)
    entity: Entity = {"@id": quote(name), "@type": "File", "name": path.name}
    if file is not None:
        entity |= _bytes(file)
    entity["encodingFormat"] = FORMATS.get(path.suffix, "text/plain")
    if name == README:
        entity["about"] = _ref("./")
    if name == PARAMS:
        entity["exampleOfWork"] = _ref("#input/params")
    cell = path.parent.as_posix().removeprefix(f"{data_name('')}")
    if path.name == RECORD and cell in records:
        entity["about"] = _ref(_action_id(cell))
    return entity


def _described(stages: Iterable[str]) -> set[str]:
    """The files that are software and have an entity of another kind."""
    return {SNAKEFILE, *(_stage_file(stage) for stage in stages)}


def _installed(records: Mapping[str, Record]) -> list[tuple[str, str]]:
    names = sorted({name for record in records.values() for name in record.environment.get("packages", {})})
    return [(name, version) for name in names if name != "sublim" for version in versions(records, name)]


def _bytes(file: Output) -> Entity:
    return {"contentSize": str(file.size), "sha256": file.sha256}


def _stage_file(stage: str) -> str:
    return code_name(f"sublim/stages/{stage}.py")


def _step_id(stage: str) -> str:
    return f"{SNAKEFILE}#{stage}"


def _action_id(cell: str) -> str:
    return f"#make/{cell}"


def _ref(name: str) -> Entity:
    local = not name.startswith(("#", "https://", "pkg:", f"{SNAKEFILE}#"))
    return {"@id": quote(name) if local else name}


def _refs(names: Iterable[str]) -> Entity | list[Entity]:
    """References; a single one is no list, as RO-Crate recommends."""
    found = [_ref(name) for name in names]
    return found[0] if len(found) == 1 else found
