"""A params file may hold anything: it is an experiment, or refused in sentences with file and line."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, seed, settings

from sublim.params.load import ParamsError, load
from tests.shared.hostile import DEEP, mutated

GOOD = Path(__file__).parent.parent.joinpath("micro.yaml").read_bytes()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("params") / "params.yaml"


@seed(12)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(mutated(GOOD))
@example(GOOD)
@example(b"")
@example(b"- " * DEEP)
@example(b"a: &a [*a]\n")
@example(b"seeds: [!!python/object/apply:os.system [id]]\n")
def test_whatever_a_params_file_says_is_an_experiment_or_a_sentence(file: Path, text: bytes) -> None:
    file.write_bytes(text)
    try:
        load(file)
    except ParamsError as error:
        assert str(error).startswith(f"{file}:")
        assert text != GOOD
