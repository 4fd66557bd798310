"""What a bundle states, in the form that supply-chain tools read: an in-toto statement with SLSA provenance v1 in it.

https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance. The builder is whoever ran the experiment, on their own
machine: that is SLSA build level 1 at most, provenance that is there and complete.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sublim.common.canonical import digest
from sublim.engine import environment
from sublim.engine.layout import RECORD
from sublim.engine.record import Output, Record
from sublim.lineage.handover import content
from sublim.lineage.handover.content import About, data_name, installed, module_name, package_url, versions

TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:x-sublim:experiment:1"
GIVEN = (content.PARAMS, content.REQUIREMENTS, content.DVC_LOCK)
BUILDER = "urn:x-sublim:builder:unattested"

Json = dict[str, Any]


def statement(about: About, records: Mapping[str, Record], files: Mapping[str, Output], experiment: Json) -> bytes:
    """The text of statement.json. `records` are those of every artifact in the bundle, by cell; `files` are digest and size of
    every file of it but the statement and its envelope, by name; `experiment` has every default filled in."""
    code = {module: digest for record in records.values() for module, digest in record.plan.code.items()}
    exported = {cell: records[cell] for cell in about.cells(records)}
    body = {
        "_type": TYPE,
        "subject": [
            _file(f"{data_name(cell)}/{name}", output)
            for cell, record in exported.items()
            for name, output in sorted(record.outputs.items())
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"exported": about.exported, "experiment": experiment},
                "internalParameters": {"bundle": asdict(about)},
                "resolvedDependencies": [
                    *(_file(name, files[name]) for name in GIVEN if name in files),
                    *(_artifact(cell, record, files) for cell, record in records.items() if cell not in exported),
                    *(_module(module, meaning, files) for module, meaning in sorted(code.items())),
                    *({"name": name, "uri": package_url(name, version)} for name, version in installed(records)),
                    *_commits(records),
                ],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"sublim": ", ".join(versions(records, "sublim"))}},
                "metadata": {"invocationId": digest({cell: [record.key, record.digest] for cell, record in exported.items()})},
                "byproducts": [_file(name, files[name]) for name in (content.SUMS, content.CRATE)],
            },
        },
    }
    return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()


def _file(name: str, file: Output) -> Json:
    return {"name": name, "digest": {"sha256": file.sha256}}


def _artifact(cell: str, record: Record, files: Mapping[str, Output]) -> Json:
    """An upstream artifact by its record, which has the digest of each of its files."""
    name = f"{data_name(cell)}/{RECORD}"
    return {**_file(name, files[name]), "annotations": {"artifact": record.digest, "key": record.key}}


def _module(module: str, meaning: str, files: Mapping[str, Output]) -> Json:
    name = module_name(module, files)
    return {**_file(name, files[name]), "annotations": {"module": module, "meaning": meaning}}


def _commits(records: Mapping[str, Record]) -> list[Json]:
    states = {(git["commit"], git["dirty"]) for record in records.values() if (git := environment.commit(record.environment))}
    return [
        {"name": "sublim", "digest": {"gitCommit": commit}, "annotations": {"dirty": dirty}} for commit, dirty in sorted(states)
    ]
