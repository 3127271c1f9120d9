"""The mutations of the benchmark still fit the source."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

mutants = import_module("mutants")


def test_every_mutation_changes_one_place_and_names_tests_that_are_there() -> None:
    found = mutants.read_mutations()
    assert len({mutation.name for mutation in found}) == len(found) > 0
    for mutation in found:
        assert mutation.applied(ROOT) != (ROOT / mutation.file).read_text()
        for test in mutation.tests:
            assert (ROOT / test.split("::")[0]).is_file(), test
