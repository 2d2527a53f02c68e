"""Questions and answers: always legal, uniformly drawn, and the same after a trip through text."""

from __future__ import annotations

import copy
import json
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import nn

from nets import choices_of_any_kind, seeds, spaces
from sparsenas.core.arch import Arch, every_arch, space_size
from sparsenas.core.choice import Choice, Choices
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.errors import UserError

COLOURS = Choice("colour", ("red", "green", "blue"))
SEVERAL = Choice("several", ("a", "b", "c", "d"), 1, 3)
SPACE = {"colour": COLOURS, "several": SEVERAL}


@given(choices_of_any_kind())
def test_every_answer_is_legal_and_counted(choice: Choice) -> None:
    answers = list(choice.every())
    for answer in answers:
        choice.check(answer)
    assert len(set(answers)) == len(answers) == choice.size


@given(choices_of_any_kind(), st.lists(st.integers(-1, 6), max_size=7).map(tuple))
def test_check_admits_the_legal_answers_and_no_other(choice: Choice, picks: tuple[int, ...]) -> None:
    if picks in set(choice.every()):
        choice.check(picks)
    else:
        with pytest.raises(UserError, match=r"choice 'c'.*got"):
            choice.check(picks)


@given(choices_of_any_kind("c", 20), seeds)
def test_samples_are_legal(choice: Choice, seed: int) -> None:
    choice.check(choice.sample(np.random.default_rng(seed)))


@pytest.mark.parametrize(("n", "least", "most"), [(5, 1, 1), (5, 2, 2), (4, 0, 4), (5, 1, 3), (4, 0, 1)])
def test_samples_are_uniform(n: int, least: int, most: int) -> None:
    choice = Choice("c", tuple(map(str, range(n))), least, most)
    rng = np.random.default_rng(0)
    seen = Counter(choice.sample(rng) for _ in range(6000))
    assert chisquare([seen[answer] for answer in choice.every()]).pvalue > 1e-3


@given(choices_of_any_kind(), st.data())
def test_strongest_keeps_the_non_zero_within_the_bounds(choice: Choice, data: st.DataObject) -> None:
    strengths = data.draw(st.lists(st.integers(-3, 3), min_size=len(choice.options), max_size=len(choice.options)))
    kept = choice.strongest([float(s) for s in strengths])
    choice.check(kept)
    nonzero = [i for i, s in enumerate(strengths) if s]
    dropped = [i for i in range(len(strengths)) if i not in kept]
    assert len(kept) == min(max(len(nonzero), choice.least), choice.most)
    assert all(abs(strengths[a]) >= abs(strengths[b]) for a in kept for b in dropped)


@given(choices_of_any_kind(), seeds)
def test_labels_and_back(choice: Choice, seed: int) -> None:
    picks = choice.sample(np.random.default_rng(seed))
    assert choice.picks(choice.labels(picks)) == picks


@pytest.mark.parametrize(
    ("options", "least", "most"),
    [((), 1, 1), (("a", "a"), 1, 1), (("a", "b"), 2, 1), (("a", "b"), 1, 3), (("a",), -1, 1), (("a",), 0, 0)],
)
def test_impossible_choices_are_refused(options: tuple[str, ...], least: int, most: int) -> None:
    with pytest.raises(UserError, match="choice 'wrong'"):
        Choice("wrong", options, least, most)


@given(spaces(), seeds)
def test_an_architecture_survives_json_and_text(space: Choices, seed: int) -> None:
    arch = Arch.sample(space, np.random.default_rng(seed))
    assert Arch.from_json(space, json.loads(json.dumps(arch.to_json()))) == arch
    assert Arch.from_text(space, arch.text()) == arch


@given(spaces(), seeds, seeds)
def test_architectures_are_equal_when_their_answers_are(space: Choices, one: int, other: int) -> None:
    a, b = (Arch.sample(space, np.random.default_rng(seed)) for seed in (one, other))
    assert (a == b) == (dict(a) == dict(b)) == (a.text() == b.text())
    backwards = {name: space[name] for name in reversed(space)}
    same = Arch(backwards, dict(a))
    assert same == a
    assert hash(same) == hash(a)
    assert len({a, same, copy.deepcopy(a)}) == 1


@given(seeds)
def test_sampling_depends_on_the_generator_alone(seed: int) -> None:
    assert Arch.sample(SPACE, np.random.default_rng(seed)) == Arch.sample(SPACE, np.random.default_rng(seed))


def test_every_arch_is_the_whole_space() -> None:
    archs = list(every_arch(SPACE))
    assert len(set(archs)) == len(archs) == space_size(SPACE) == 3 * (4 + 6 + 4)


def test_an_architecture_is_a_mapping_of_picks() -> None:
    arch = Arch(SPACE, {"several": [0, 2], "colour": [1]})
    assert dict(arch) == {"colour": (1,), "several": (0, 2)}
    assert arch.text() == "1,0+2"
    assert arch.replace({"colour": (2,)}).to_json() == {"colour": "blue", "several": ["a", "c"]}
    assert arch.gates() == {"colour": Gate((1,)), "several": Gate((0, 2))}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"colour": "pink", "several": ["a"]}, r"choice 'colour': .* labels from .*'red', 'green', 'blue'.*'pink'"),
        ({"colour": 1, "several": ["a"]}, r"choice 'colour': expected labels from"),
        ({"colour": ["red", "blue"], "several": ["a"]}, r"choice 'colour': expected exactly 1 of 3 options, got 2"),
        ({"colour": "red", "several": []}, r"choice 'several': expected 1 to 3 of 4 options, got 0"),
        ({"colour": "red", "several": ["a", "a"]}, r"choice 'several': expected distinct labels"),
        ({"colour": "red", "several": [["a"]]}, r"choice 'several': expected labels from"),
        ({"colour": "red"}, r"missing several"),
        ({"colour": "red", "several": ["a"], "shape": "round"}, r"choices colour, several, got unknown 'shape'"),
        (["red"], r"expected an object of labels"),
        (None, r"expected an object of labels"),
    ],
)
def test_a_hand_edited_file_gets_a_helpful_error(labels: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Arch.from_json(SPACE, labels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected 2 picks"),
        ("0,1,2", "expected 2 picks.*got 3"),
        ("3,0", "choice 'colour': picks must be .* within 0..2"),
        ("0,1+0", "choice 'several': picks must be sorted"),
        ("0,-", "choice 'several': expected 1 to 3"),
        ("red,a", "expected digits such as 00"),
    ],
)
def test_text_that_does_not_fit_gets_a_helpful_error(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Arch.from_text(SPACE, text)


def test_text_of_a_space_with_one_pick_each_is_digits() -> None:
    space = {name: Choice(name, tuple(map(str, range(10)))) for name in "abc"}
    assert Arch.from_text(space, "907").text() == "907"
    assert Arch.from_text(space, "9,0,7").text() == "907"


@given(spaces(), st.text(alphabet="0123+-, x", max_size=12))
def test_text_is_read_or_refused(space: Choices, text: str) -> None:
    try:
        arch = Arch.from_text(space, text)
    except UserError:
        return
    for name, choice in space.items():
        choice.check(arch[name])


def layer(name: str, options: int = 2) -> Join:
    return Join.of(name, {str(i): nn.Linear(2, 2) for i in range(options)})


def test_choices_come_in_the_order_of_the_network() -> None:
    net = nn.Sequential(layer("z"), nn.Sequential(layer("a")), layer("z"))
    assert list(choices(net)) == ["z", "a"]


def test_equal_names_must_be_equal_choices() -> None:
    with pytest.raises(UserError, match="choice 'z': expected the same options in every module"):
        choices(nn.Sequential(layer("z"), layer("z", 3)))


def test_gates_must_be_set_and_complete() -> None:
    net = nn.Sequential(layer("a"), layer("b"))
    with pytest.raises(RuntimeError, match="choice 'a' has no gate yet"):
        net(torch.zeros(1, 2))
    with pytest.raises(UserError, match="expected one for every choice, got none for 'b'"):
        set_gates(net, {"a": Gate((0,))})


@given(seeds)
def test_tied_modules_get_one_answer(seed: int) -> None:
    net = nn.Sequential(layer("a", 4), layer("b", 4), layer("a", 4))
    arch = Arch.sample(choices(net), np.random.default_rng(seed))
    assume(arch["a"] != arch["b"])
    set_gates(net, arch.gates())
    assert [module.gate.picks for module in net] == [arch["a"], arch["b"], arch["a"]]


def test_a_copy_of_a_network_has_no_answer_yet() -> None:
    net = layer("a")
    weights = torch.ones(1, requires_grad=True) * 2
    set_gates(net, {"a": Gate((1,), weights)})
    twin = copy.deepcopy(net)
    assert net.gate.weights is weights
    with pytest.raises(RuntimeError, match="no gate"):
        twin.gate  # noqa: B018
