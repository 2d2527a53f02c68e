"""Evolution and random search: legal, never twice, better than chance, and finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice
from sparsenas.objectives import Classification, Regression
from sparsenas.searching.config import Scoring
from sparsenas.searching.evolution import (
    Evolution,
    RandomSearch,
    Score,
    Search,
    SearchProblem,
    best_first,
)
from sparsenas.searching.precision import imprecise


def make_space(
    blocks: int = 8, options: int = 4, legal: Callable[[Arch], bool] = lambda arch: True, tries: int = 2000
) -> SearchProblem:
    choices = {f"c{i}": Choice(f"c{i}", tuple("abcdefgh"[:options])) for i in range(blocks)}

    def draw(rng: np.random.Generator, wanted: Callable[[Arch], bool]) -> Arch | None:
        for _ in range(tries):
            arch = Arch.sample(choices, rng)
            if legal(arch) and wanted(arch):
                return arch
        return None

    return SearchProblem(choices, draw, lambda archs: [legal(arch) for arch in archs], lambda arch: arch)


def fitness(arch: Arch) -> Score:
    return Score(sum(picks[0] * (i + 1) for i, picks in enumerate(arch.values())) / 100, 0.0)


def play(search: Search) -> list[list[Arch]]:
    generations = []
    while archs := search.ask():
        generations.append(archs)
        search.tell(archs, [fitness(arch) for arch in archs])
    return generations


def test_published_counts() -> None:
    evolution = Evolution(make_space(20), np.random.default_rng(0))
    generations = play(evolution)
    assert [len(archs) for archs in generations] == [50] * 21
    assert len(evolution.scores) == evolution.planned == 1050


@given(seed=st.integers(0, 1000), limit=st.integers(6, 18))
@settings(max_examples=15, deadline=None)
def test_every_candidate_is_legal_and_new(seed: int, limit: int) -> None:
    space = make_space(legal=lambda arch: sum(picks[0] for picks in arch.values()) <= limit)
    asked = [a for g in play(Evolution(space, np.random.default_rng(seed), 20, 5, 5, 10, 10)) for a in g]
    assert len(asked) == len(set(asked))
    assert all(space.legal(asked))


@pytest.mark.parametrize("seed", range(5))
def test_evolution_beats_random_search_at_equal_evaluations(seed: int) -> None:
    evolution = Evolution(make_space(16), np.random.default_rng(seed))
    random = RandomSearch(make_space(16), np.random.default_rng(seed), evaluations=1050)
    play(evolution), play(random)
    assert len(random.scores) == len(evolution.scores)
    assert fitness(evolution.best) > fitness(random.best)


def test_the_top_never_gets_worse_and_the_last_generation_counts() -> None:
    evolution = Evolution(make_space(16), np.random.default_rng(3), generations=6)
    best: list[Score] = []
    while archs := evolution.ask():
        evolution.tell(archs, [fitness(arch) for arch in archs])
        best.append(fitness(evolution.best))
    assert best == sorted(best)
    assert best[-1] == max(fitness(arch) for arch in evolution.scores)


def test_crossover_takes_every_gene_from_a_parent() -> None:
    evolution = Evolution(make_space(), np.random.default_rng(0))
    parents = [Arch.sample(evolution.problem.choices, evolution.rng) for _ in range(2)]
    children = [evolution._crossover(parents) for _ in range(50)]
    assert all(child[n] in {p[n] for p in parents} for child in children for n in child)
    assert len(set(children)) > 10


def test_mutants_without_mutation_are_their_parents_and_so_rejected() -> None:
    evolution = Evolution(make_space(), np.random.default_rng(0), 10, 3, 4, mutants=5, crossovers=0, mutation=0.0)
    first = evolution.ask()
    evolution.tell(first, [fitness(arch) for arch in first])
    assert {evolution._mutant(first) for _ in range(20)} <= set(first)
    assert evolution._legal_children(lambda: evolution._mutant(first), 5) == []
    assert len(evolution.ask()) == 10  # topped up with random architectures


def test_mutation_rate() -> None:
    evolution = Evolution(make_space(20, 8), np.random.default_rng(0), mutation=0.1)
    parent = Arch.sample(evolution.problem.choices, evolution.rng)
    changed = [
        sum(parent[n] != child[n] for n in parent) for child in (evolution._mutant([parent]) for _ in range(500))
    ]
    assert np.mean(changed) == pytest.approx(20 * 0.1 * 7 / 8, rel=0.1)


def make_searches(space: SearchProblem, rng: np.random.Generator) -> Sequence[Search]:
    return Evolution(space, rng), RandomSearch(space, rng)


@pytest.mark.parametrize("index", [0, 1])
def test_a_small_space_is_exhausted_and_the_search_ends(index: int) -> None:
    space = make_space(3, 3, legal=lambda arch: arch["c0"] != (2,))
    search = make_searches(space, np.random.default_rng(0))[index]
    play(search)
    assert len(search.scores) == 18
    assert search.best.text() == "122"


def test_equal_networks_are_proposed_once() -> None:
    plain = make_space(3, 3)
    canonical = SearchProblem(plain.choices, plain.draw, plain.legal, lambda arch: arch.replace({"c2": (0,)}))
    search = RandomSearch(canonical, np.random.default_rng(0))
    play(search)
    assert len(search.scores) == 9


def test_replaying_with_known_scores_asks_the_same_again() -> None:
    runs = [play(Evolution(make_space(), np.random.default_rng(7), generations=4)) for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(("by", "order"), [("", [0, 1, 2]), ("accuracy", [0, 1, 2]), ("loss", [1, 0, 2])])
def test_the_order_of_scores_may_be_that_of_any_metric(by: str, order: list[int]) -> None:
    search = Evolution(make_space(), np.random.default_rng(0), population=3, parents=3)
    archs = search.ask()
    found = [{"accuracy": a, "loss": loss} for a, loss in ((0.9, 2.0), (0.8, 1.0), (0.8, 3.0))]
    search.tell(archs, [Scoring(by=by).score(Classification(10), metrics) for metrics in found])
    expected = [archs[i] for i in order]
    assert search.best == expected[0]
    assert search.choose(search.scores, 3) == best_first(search.scores, 3) == expected


def test_less_of_an_error_is_better() -> None:
    metrics = [{"rmse": 2.0, "r2": 0.5, "loss": 4.0}, {"rmse": 1.0, "r2": 0.9, "loss": 1.0}]
    for by in ("", "r2", "loss"):
        worse, better = (Scoring(by=by).score(Regression(), one) for one in metrics)
        assert better > worse


def test_the_loss_decides_between_equal_accuracies() -> None:
    search = RandomSearch(make_space(), np.random.default_rng(0), evaluations=2)
    archs = search.ask()
    search.tell(archs, [Score(0.9, -0.5), Score(0.9, -0.4)])
    assert search.best == archs[1]


def test_few_validation_examples_for_many_candidates_are_told() -> None:
    assert imprecise("accuracy", 160, 1050).startswith("1,050 candidates are compared on 160 validation examples")
    assert "known to about 4 points" in imprecise("accuracy", 160, 1050)
    for metric, examples, candidates in (("loss", 160, 1050), ("accuracy", 625, 1050), ("accuracy", 160, 160)):
        assert imprecise(metric, examples, candidates) == ""
