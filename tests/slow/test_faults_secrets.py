"""Secrets in the environment: in no record, log, report, store object, or any other file of an experiment."""

import polars as pl
import pytest
from ruamel.yaml import YAML

from tests.shared.project import Project

SECRETS = {
    "HF_TOKEN": "hf_kBqXsecretsecretsecret1",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIsecretsecret2",
    "OPENAI_API_KEY": "sk-proj-secretsecretsecret3",
    "HTTPS_PROXY": "http://someone:passwordpassword4@127.0.0.1:9",
    "DATABASE_URL": "postgres://someone:passwordpassword5@localhost/x",
}
TOLD = tuple(value.split(":")[2].split("@")[0] if "@" in value else value for value in SECRETS.values())


def _leaks(project: Project) -> set[str]:
    """Files of the project, below .git as well, that hold a secret; tables are read, for they are compressed."""
    found: set[str] = set()
    for path in sorted(project.path.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if content[:4] == b"PAR1":
                content += pl.read_parquet(path).write_ndjson().encode()
            if any(secret.encode() in content for secret in TOLD):
                found.add(path.relative_to(project.path).as_posix())
    return found


@pytest.mark.long
@pytest.mark.timeout(300)
def test_secrets_of_the_environment_are_written_nowhere(project: Project) -> None:
    assert len(set(TOLD)) == len(SECRETS)
    (project.path / "probe").write_text(f"x{TOLD[3]}x")
    assert _leaks(project) == {"probe"}
    (project.path / "probe").unlink()
    # Jobs that compute, warm and cold, and that write the report anew.
    project.edit("params.yaml", "shuffled_within: same", "shuffled_within: [{teacher: a, student: b}]")
    start = len(project.events())
    project.snakemake(check=True, **SECRETS)
    assert project.computed(start)["student"] == 1
    assert project.computed(start)["report"] == 1
    # A job that fails with a traceback.
    source = project.path / "sublim/stages/report/make.py"
    whole = source.read_text()
    source.write_text(whole.replace("progress: Progress) -> None:", "progress: Progress) -> None:\n    _fail()", 1) + FAILING)
    for worker in ("1", "0"):
        assert project.snakemake(check=False, SUBLIM_WORKER=worker, **SECRETS).status != 0
        assert "Traceback" in (project.path / ".sublim/log/report/study=numbers.log").read_text()
    source.write_text(whole)
    project.run("dvc", "repro", check=True, **SECRETS)
    assert _leaks(project) == set()


FAILING = """

def _fail() -> None:
    import os

    environ = dict(os.environ)
    raise RuntimeError(f"broken with {len(environ)} variables")
"""


@pytest.mark.timeout(300)
def test_a_download_that_fails_at_a_proxy_tells_no_password(project: Project) -> None:
    yaml, path = YAML(typ="safe", pure=True), project.path / "params.yaml"
    params = yaml.load(path)
    params["models"]["a"] = {"kind": "hub", "repo": "owner/name", "revision": "0" * 40}
    yaml.dump(params, path)
    done = project.snakemake("base_all", check=False, **SECRETS)
    assert done.status != 0
    assert (project.path / ".sublim/log/base/model=a.log").stat().st_size > 0
    assert not [secret for secret in TOLD if secret in done.output]
    assert _leaks(project) == set()
