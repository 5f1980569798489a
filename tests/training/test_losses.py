"""The loss, term by term, against sums written out by hand, and the learning rate's course."""

from __future__ import annotations

import math

import pytest
import torch

from mm.training.losses import PAPER_WEIGHT, Representations, loss_terms, total_loss
from mm.training.schedule import rate_fraction


def features(**changed: float) -> Representations:
    """Representations that are all 0 but for the named, which are constant."""
    shape = {"texture": (2, 3, 4, 5), "shape_b": (2, 3, 8, 10)}
    values = {
        name: torch.full(shape["shape_b" if name.startswith("shape") else "texture"], changed.get(name, 0.0))
        for name in Representations._fields
    }
    return Representations(**values)


def test_image_term_by_hand():
    prediction = torch.tensor([0.1, 0.5, 0.9, 1.2]).view(1, 1, 2, 2)
    target = torch.tensor([0.2, 0.5, 0.4, 1.0]).view(1, 1, 2, 2)
    terms = loss_terms(prediction, target, features())
    assert terms["image"] == pytest.approx((0.1 + 0.0 + 0.5 + 0.2) / 4)


@pytest.mark.parametrize(
    ("one", "other", "term"),
    [
        ("texture_a", "texture_b", "texture"),
        ("texture_b_perturbed", "texture_y_perturbed", "texture_perturbed"),
        ("shape_b", "shape_b_perturbed", "shape"),
    ],
)
def test_each_term_compares_its_two_representations(one, other, term):
    image = torch.zeros(2, 3, 8, 10)
    for changed, expected in (({one: 0.5}, 0.5), ({other: 0.5}, 0.5), ({one: 0.5, other: -0.25}, 0.75)):
        terms = loss_terms(image, image, features(**changed))
        assert terms.pop(term) == pytest.approx(expected)
        assert all(value == 0 for value in terms.values())


def test_total_weighs_all_but_the_image():
    terms = {
        "image": torch.tensor(1.0),
        "texture": torch.tensor(2.0),
        "texture_perturbed": torch.tensor(3.0),
        "shape": torch.tensor(4.0),
    }
    assert PAPER_WEIGHT == 0.1
    assert total_loss(terms) == pytest.approx(1 + 0.1 * (2 + 3 + 4))
    assert total_loss(terms, 0.0) == 1


def test_terms_are_float32_in_half_precision():
    """1000 differences of 1/512 beside 0.75: in bf16 the sum would stand still, and 0.75 + 1/512 be 0.75."""
    target = torch.full((1, 1, 25, 40), 0.75)
    prediction = (target + 2**-8).bfloat16()
    terms = loss_terms(prediction, target, features())
    assert terms["image"].dtype == torch.float32
    assert terms["image"] == pytest.approx(2**-8)
    assert loss_terms(prediction, target + 2**-9, features())["image"] == pytest.approx(2**-9)


def test_gradient_is_the_sign_over_the_count():
    prediction = torch.tensor([0.2, 0.8]).view(1, 1, 1, 2).requires_grad_()
    loss_terms(prediction, torch.full((1, 1, 1, 2), 0.5), features())["image"].backward()
    assert prediction.grad.flatten().tolist() == [-0.5, 0.5]


def test_constant_rate_after_warmup():
    rates = [rate_fraction(step, "constant", warmup_steps=4) for step in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_rate():
    def rate(step: int) -> float:
        return rate_fraction(step, "cosine", warmup_steps=10, total_steps=110, final_fraction=0.2)

    assert rate(10) == 1
    assert rate(60) == pytest.approx(0.6)
    assert rate(35) == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)
    assert rate(110) == rate(500) == pytest.approx(0.2)
