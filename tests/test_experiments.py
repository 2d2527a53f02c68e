"""The table of the experiments is made from their raw results."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    monkeypatch.delitem(sys.modules, "table", raising=False)
    return importlib.import_module("table")


def test_the_page_has_the_table_of_the_raw_results(table: ModuleType) -> None:
    text = table.table(table.read(EXPERIMENTS / "results"))
    assert text in (EXPERIMENTS / "README.md").read_text(encoding="utf-8"), "run python experiments/table.py"
    assert {len(line.split("|")) for line in text.splitlines()} == {12}


def test_other_pages_have_parts_of_it(table: ModuleType) -> None:
    known = table.read(EXPERIMENTS / "results")
    for page, method in table.PARTS.items():
        text = (EXPERIMENTS.parent / page).read_text(encoding="utf-8")
        assert table.short_table(known, method) in text, "run python experiments/table.py"


def test_the_readme_names_the_gaps_that_are_proved(table: ModuleType) -> None:
    proved: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    for (space, data, method, *_), same in table.rows(table.read(EXPERIMENTS / "results")).items():
        low = table.gap([one.found for one in same], table._random(same)).low
        if len(same) > 1:
            proved[low is not None and low > 0].append((method, f"{space} on {data}"))
    cells, dso = "nasbench201, width 8, cells 1 on cifar10 at 16x16", "dso, width 8, depth 1, share on cifar10 at 16x16"
    assert proved[True] == [("dso", dso), ("darts", cells), ("ista", cells), *[("spos", cells)] * 4]
    assert {method for method, where in proved[False]} == {"dso", "ista", "gdas"}
    text = (EXPERIMENTS.parent / "README.md").read_text(encoding="utf-8")
    assert "`dso` beats random networks with all images of CIFAR-10" in text
    assert "`darts` and `ista` random cells of NAS-Bench-201, and `spos` those** under all four budgets" in text


@pytest.mark.parametrize("found", [[0.93, 0.94, 0.935], [0.5, 0.9], [0.9, 0.93]])
def test_gap_is_welchs(table: ModuleType, found: list[float]) -> None:
    random = [0.91, 0.93, 0.92, 0.905]
    got, test = table.gap(found, random), stats.ttest_ind(found, random, equal_var=False)
    assert got == pytest.approx((np.mean(found) - np.mean(random), *test.confidence_interval(0.95), test.pvalue))


def test_one_seed_has_no_interval(table: ModuleType) -> None:
    assert table.gap([0.9], [0.8, 0.7])[1:] == (None, None, None)
    assert table.gap([0.9, 0.9], [0.8, 0.8])[1:] == (None, None, None)
    assert table.gap([0.9, 0.9], [0.8, 0.7]).p is not None


def test_a_list_that_seeds_share_counts_once(table: ModuleType) -> None:
    one = table.read(EXPERIMENTS / "results")[0]
    same = [replace(one, seed=seed, random=[0.5, 0.75], accuracy="trained") for seed in range(3)]
    assert "62.50 ± 17.68, n 2" in table.table(same)
    assert "n 4" in table.table([*same, replace(same[0], seed=4, random=[0.5, 0.25])])


def test_rows_of_a_benchmark_that_seeds_share_count_once(table: ModuleType) -> None:
    one = table.read(EXPERIMENTS / "results")[0]
    seeds = [replace(one, seed=i, random=some, accuracy="table") for i, some in enumerate(([0.5, 0.75], [0.5, 0.5]))]
    assert "58.33 ± 14.43, n 3" in table.table(seeds)


def test_a_seed_given_twice_is_refused(table: ModuleType, tmp_path: Path) -> None:
    line = (EXPERIMENTS / "results" / "nasbench201.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[0]
    (tmp_path / "a.jsonl").write_text(2 * line, encoding="utf-8")
    with pytest.raises(ValueError, match="a seed is given twice"):
        table.read(tmp_path)
