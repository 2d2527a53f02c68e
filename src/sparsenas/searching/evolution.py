"""Evolution and random search by ask and tell; they know choices and scores, but no networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from sparsenas.core.arch import Arch, every_arch, space_size
from sparsenas.core.choice import Choices

MOST_ENUMERATED = 20_000


class Score(NamedTuple):
    """The score of an architecture; greater is better, compared from left to right."""

    value: float
    """The metric by which candidates are compared, with the opposite sign where less is better."""
    tie: float = 0.0
    """The metric that decides between equals, likewise."""


class SearchProblem(NamedTuple):
    """The architectures that a search may propose."""

    choices: Choices
    """The choices of the space by name."""
    draw: Callable[[np.random.Generator, Callable[[Arch], bool]], Arch | None]
    """A random legal architecture that satisfies a predicate; ``None`` when none was found."""
    legal: Callable[[Sequence[Arch]], Sequence[bool]]
    """Which of some architectures meet all budgets."""
    canonical: Callable[[Arch], Arch]
    """Maps architectures of equal networks to one of them."""


Parents = Callable[[Mapping[Arch, Score], int], list[Arch]]
"""Chooses a number of parents from all scored architectures."""


def best_first(scores: Mapping[Arch, Score], count: int) -> list[Arch]:
    """The best ``count`` architectures: the published choice of parents."""
    return sorted(scores, key=lambda arch: scores[arch], reverse=True)[:count]


class Search(ABC):
    """Proposes architectures by ``ask`` until none are left; the caller scores them and calls ``tell``.

    A subclass writes ``ask`` and ``planned``. ``random`` and ``new`` give architectures that may be proposed;
    ``scores`` and ``best`` are what is known so far, ``problem`` is the space with its budgets.

    For one generator and the same scores the proposals are the same. So a search is resumed by replaying it with the
    scores that are known.
    """

    title: ClassVar[str] = "search"
    """Its name in progress bars, in the log and in the report."""

    def __init__(self, problem: SearchProblem, rng: np.random.Generator) -> None:
        self.problem = problem
        self.rng = rng
        self.scores: dict[Arch, Score] = {}
        """All architectures scored so far, in order."""
        self.generation = -1
        """The number of the last generation."""
        self._proposed: set[Arch] = set()

    @abstractmethod
    def ask(self) -> list[Arch]:
        """The next generation: legal, distinct, never proposed before. Empty when the search is over."""

    @property
    @abstractmethod
    def planned(self) -> int:
        """The number of architectures to be proposed, unless the space is exhausted before."""

    def tell(self, archs: Sequence[Arch], scores: Sequence[Score]) -> None:
        """Takes the scores of the proposed architectures."""
        self.scores.update(zip(archs, scores, strict=True))

    @property
    def best(self) -> Arch:
        """The best of all architectures scored so far; the earliest among equals."""
        return max(self.scores, key=lambda arch: self.scores[arch])

    @property
    def best_is(self) -> str:
        """What ``best`` is, in progress."""
        return "best"

    def random(self, count: int) -> list[Arch]:
        """Up to ``count`` random new architectures; fewer when a small space is exhausted."""
        archs: list[Arch] = []
        for _ in range(count):
            arch = self._draw_new()
            if arch is None:
                break
            archs.append(arch)
        return archs

    def new(self, archs: Iterable[Arch]) -> list[Arch]:
        """The legal ones whose networks were not proposed before, each once; from now on they count as proposed."""
        given = list(dict.fromkeys(archs))
        legal = [arch for arch, ok in zip(given, self.problem.legal(given), strict=True) if ok] if given else []
        fresh = dict.fromkeys(map(self.problem.canonical, legal))
        return [self._propose(arch) for arch in fresh if arch not in self._proposed]

    def _draw_new(self) -> Arch | None:
        found = self.problem.draw(self.rng, lambda arch: self.problem.canonical(arch) not in self._proposed)
        if found is None and space_size(self.problem.choices) <= MOST_ENUMERATED:
            found = self._pick_from_rest()
        return None if found is None else self._propose(self.problem.canonical(found))

    def _pick_from_rest(self) -> Arch | None:
        every = dict.fromkeys(self.problem.canonical(arch) for arch in every_arch(self.problem.choices))
        new = [arch for arch in every if arch not in self._proposed]
        rest = [arch for arch, legal in zip(new, self.problem.legal(new), strict=True) if legal] if new else []
        return rest[int(self.rng.integers(len(rest)))] if rest else None

    def _propose(self, arch: Arch) -> Arch:
        self._proposed.add(arch)
        return arch


class RandomSearch(Search):
    """The baseline of evolution: random legal architectures."""

    title: ClassVar[str] = "random search"

    def __init__(
        self, problem: SearchProblem, rng: np.random.Generator, evaluations: int = 1050, block: int = 50
    ) -> None:
        super().__init__(problem, rng)
        self.evaluations, self.block = evaluations, block

    @property
    def planned(self) -> int:
        """All evaluations."""
        return self.evaluations

    def ask(self) -> list[Arch]:
        """The next block of random architectures."""
        self.generation += 1
        return self.random(min(self.block, self.evaluations - len(self.scores)))


class Evolution(Search):
    """SPOS's evolution (Guo et al. 2020, section 3.4), every candidate scored once.

    The first generation is random. Each later one has mutants and crossovers of the best ``parents`` so far, filled up
    with random architectures. The result is the best of all scored architectures, the last generation included.
    With another ``choose`` of parents, such as ``pareto.crowded``, it searches a Pareto front.
    """

    title: ClassVar[str] = "evolution"

    def __init__(
        self,
        problem: SearchProblem,
        rng: np.random.Generator,
        population: int = 50,
        generations: int = 20,
        parents: int = 10,
        mutants: int = 25,
        crossovers: int = 25,
        mutation: float = 0.1,
        choose: Parents | None = None,
    ) -> None:
        super().__init__(problem, rng)
        self.choose = choose or best_first
        self.population, self.generations, self.parents = population, generations, parents
        self.mutants, self.crossovers, self.mutation = mutants, crossovers, mutation

    @property
    def planned(self) -> int:
        """All generations, the first one included."""
        return self.population * (1 + self.generations)

    def ask(self) -> list[Arch]:
        """The next generation."""
        self.generation += 1
        if self.generation > self.generations:
            return []
        if self.generation == 0:
            return self.random(self.population)
        top = self.choose(self.scores, self.parents)
        children = self._legal_children(lambda: self._mutant(top), self.mutants)
        children += self._legal_children(lambda: self._crossover(top), self.crossovers)
        return children + self.random(self.population - len(children))

    def _legal_children(self, make: Callable[[], Arch], count: int) -> list[Arch]:
        """Up to ``count`` new legal children, from ten times as many tries."""
        children: list[Arch] = []
        for _ in range(10 * count):
            if len(children) == count:
                break
            child = make()
            if child not in self._proposed and self.problem.legal([child])[0]:
                child = self.problem.canonical(child)
                children += [self._propose(child)] if child not in self._proposed else []
        return children

    def _mutant(self, parents: Sequence[Arch]) -> Arch:
        """A parent in which each choice is drawn again with probability ``mutation``."""
        parent = parents[int(self.rng.integers(len(parents)))]
        hit = self.rng.random(len(parent)) < self.mutation
        names = [name for name, mutate in zip(parent, hit, strict=True) if mutate]
        return parent.replace({name: parent.choices[name].sample(self.rng) for name in names})

    def _crossover(self, parents: Sequence[Arch]) -> Arch:
        """Each choice from one of two parents, which may be the same, with probability one half."""
        mother, father = (parents[int(i)] for i in self.rng.integers(len(parents), size=2))
        from_father = self.rng.random(len(mother)) < 0.5
        return mother.replace({n: father[n] for n, take in zip(mother, from_father, strict=True) if take})
