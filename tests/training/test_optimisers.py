"""The optimisers by name: what decays, what is orthogonalised, what is rotated, exact resume."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.resuming import Run, assert_same
from helpers.running import small_data, small_module, trainer
from torch import Tensor
from training.test_resume import SignalAt

from charlm.errors import UserError
from charlm.model import CharLM
from charlm.training.optimisers import BY_NAME, Muon, Soap, optimiser
from charlm.training.optimisers.groups import gate_matrices
from charlm.training.optimisers.muon import orthogonalised

TEXT = {"max_chars": 760, "num_lanes": 4, "num_steps": 25}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthogonal(size: int, seed: int) -> Tensor:
    return torch.linalg.qr(drawn(size, size, seed=seed))[0]


def small_model(**options: Any) -> CharLM:
    torch.manual_seed(0)
    return CharLM(9, **{"hidden_sizes": [6, 4], "cell": "lstm"} | options)


def give_gradients(model: CharLM, seed: int = 0) -> None:
    for i, parameter in enumerate(model.parameters()):
        parameter.grad = drawn(*parameter.shape, seed=100 * seed + i).to(parameter.dtype)


# Groups


@pytest.mark.parametrize("name", BY_NAME)
def test_each_parameter_is_in_one_group_and_matrices_alone_decay(name: str) -> None:
    model = small_model(encoding="embedding", embedding_size=3)
    groups = optimiser(name, model, 0.01, {"weight_decay": 0.1}).param_groups
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())
    for group in groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.1 if parameter.dim() == 2 else 0.0)


def test_the_matrices_that_read_symbols_are_no_gate_matrices() -> None:
    model = small_model()
    first, second = model.cells
    found = list(gate_matrices(model))
    assert [id(matrix) for matrix, _ in found] == [
        id(first.weight_hh),
        id(second.weight_ih),
        id(second.weight_hh),
    ]
    assert {num_gates for _, num_gates in found} == {4}
    embedded = small_model(encoding="embedding", embedding_size=3)
    assert len(list(gate_matrices(embedded))) == 4


def test_two_rates_and_the_options_reach_their_groups() -> None:
    options = {"matrix_rate": 0.02, "momentum": 0.9, "betas": [0.8, 0.95]}
    made = optimiser("muon", small_model(), 0.005, options)
    rates = {bool(group["num_gates"]): group["lr"] for group in made.param_groups}
    assert rates == {False: 0.005, True: 0.02}
    assert {group["momentum"] for group in made.param_groups} == {0.9}
    assert {group["betas"] for group in made.param_groups} == {(0.8, 0.95)}


@pytest.mark.parametrize("name", BY_NAME)
def test_an_option_that_an_optimiser_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"optimizer '{name}'.*speed"):
        optimiser(name, small_model(), 0.01, {"speed": 1})


# The rules


@pytest.mark.parametrize("name", ["muon", "soap"])
def test_what_is_no_gate_matrix_moves_by_torch_s_adamw(name: str) -> None:
    ours, theirs = small_model(), small_model()
    options = {"weight_decay": 0.1, "betas": [0.9, 0.95]}
    first = optimiser(name, ours, 0.01, options)
    second = optimiser("adamw", theirs, 0.01, options)
    for step in range(4):
        for model, each in ((ours, first), (theirs, second)):
            give_gradients(model, step)
            each.step()
    matrices = {id(matrix) for matrix, _ in gate_matrices(ours)}
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        if id(a) in matrices:
            assert not torch.allclose(a, b, atol=1e-4)
        else:
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("shape", [(4, 7, 7), (3, 5, 9), (2, 9, 5)])
def test_orthogonalised_matrices_have_singular_values_about_one(
    shape: tuple[int, int, int],
) -> None:
    matrices_GRC = drawn(*shape)
    made = orthogonalised(matrices_GRC, num_rounds=5)
    _, R, C = shape
    values = torch.linalg.svdvals(made) / max(1.0, R / C) ** 0.5
    assert values.min() > 0.3
    assert values.max() < 1.3
    # The singular vectors stay.
    left, _, right = torch.linalg.svd(matrices_GRC, full_matrices=False)
    turned = left.mT @ made @ right.mT
    off = turned - torch.diag_embed(turned.diagonal(dim1=1, dim2=2))
    torch.testing.assert_close(off, torch.zeros_like(off), atol=1e-9, rtol=0)


def test_with_one_gate_muon_is_torch_s() -> None:
    weights = [torch.nn.Parameter(drawn(6, 6).float()) for _ in range(2)]
    groups = [{"params": [weights[0]], "num_gates": 1}]
    ours = Muon(groups, lr=0.1, weight_decay=0.1)
    theirs = torch.optim.Muon([weights[1]], lr=0.1, weight_decay=0.1)
    for step in range(3):
        for weight, each in zip(weights, (ours, theirs), strict=True):
            weight.grad = drawn(6, 6, seed=step + 1).float()
            each.step()
    # Theirs iterates in bfloat16.
    torch.testing.assert_close(weights[0], weights[1], atol=0.02, rtol=0)


def moved(rule: type[Muon] | type[Soap], num_gates: int, gradients: list[Tensor]) -> Tensor:
    """Where a matrix of zeros is after steps with the gradients [G·R, C]."""
    weight = torch.nn.Parameter(torch.zeros_like(gradients[0]))
    made = rule([{"params": [weight], "num_gates": num_gates}], lr=0.1, eps=1e-12)
    for gradient in gradients:
        weight.grad = gradient.clone()
        made.step()
    return weight.detach()


@pytest.mark.parametrize("rule", [Muon, Soap])
def test_a_rotated_gradient_gives_the_rotated_step(rule: type[Muon] | type[Soap]) -> None:
    """Of the rows of each gate by itself, and of the columns of all; AdamW has no such law."""
    gradients = [drawn(8, 5, seed=step) for step in range(24)]
    rows = torch.block_diag(orthogonal(4, seed=50), orthogonal(4, seed=51))
    columns = orthogonal(5, seed=52)
    turned = moved(rule, 2, [rows @ gradient @ columns for gradient in gradients])
    torch.testing.assert_close(
        turned, rows @ moved(rule, 2, gradients) @ columns, rtol=1e-5, atol=1e-6
    )


def test_muon_treats_each_gate_as_a_matrix_of_its_own() -> None:
    gradients = [drawn(8, 5, seed=step) for step in range(6)]
    fused = moved(Muon, 2, gradients)
    alone = [moved(Muon, 1, [each[i : i + 4] for each in gradients]) for i in (0, 4)]
    torch.testing.assert_close(fused, torch.cat(alone))


def test_soap_goes_down_a_slanted_valley_faster_than_adam() -> None:
    left, right = orthogonal(6, seed=1), orthogonal(6, seed=2)
    steepness = torch.logspace(0, -3, 6, dtype=torch.float64)
    ends = {}
    for name in ("soap", "adam"):
        weight = torch.nn.Parameter(drawn(6, 6, seed=3))
        groups = [{"params": [weight], "num_gates": int(name == "soap")}]
        made = Soap(groups, lr=0.03)
        for _ in range(300):
            value = ((left @ weight @ right) * steepness[:, None]).square().sum()
            made.zero_grad()
            value.backward()
            made.step()
        ends[name] = value.item()
    assert ends["soap"] < ends["adam"] / 3


# In the Trainer


@pytest.mark.usefixtures("novel")
@pytest.mark.parametrize("name", ["muon", "soap"])
def test_a_run_with_it_is_resumed_exactly(tmp_path: Path, name: str) -> None:
    module = {
        "hidden_sizes": [8, 8],
        "cell": "lstm",
        "optimizer": name,
        "optimizer_options": {"weight_decay": 0.1, "matrix_rate": 0.02},
        "learning_rate": 0.01,
        "schedule": "cosine",
    }
    case = {"data": TEXT, "module": module, "trainer": {"max_epochs": 3}}
    alone = Run(tmp_path / "alone", **case).go()
    run = Run(tmp_path / "run", **case)
    for i, step in enumerate((2, 13)):
        run.stopped(SignalAt(step), resume=i > 0)
    assert_same(run.go(resume=True), alone)


@pytest.mark.usefixtures("novel")
def test_groups_of_two_rates_change_theirs_in_proportion(tmp_path: Path) -> None:
    module = {
        "optimizer": "muon",
        "optimizer_options": {"matrix_rate": 0.03},
        "learning_rate": 0.01,
    }
    run = Run(tmp_path, TEXT, module).go(max_epochs=1)
    run.module = module | {"learning_rate": 0.002}
    run.go(resume=True, max_epochs=2)
    rates = [group["lr"] for group in run.result["optimizer"]["param_groups"]]
    assert rates == pytest.approx([0.002, 0.002, 0.006])


@pytest.mark.usefixtures("novel")
@pytest.mark.parametrize("name", ["muon", "soap"])
def test_clipping_is_the_trainer_s(tmp_path: Path, name: str) -> None:
    """The gradient that the optimiser is given has the norm that it was clipped to."""
    data = small_data(**TEXT)
    module = small_module(data, optimizer=name, learning_rate=0.01)
    run = trainer(tmp_path, max_steps=1, gradient_clip_val=1e-3)
    run.fit(module, datamodule=data)
    norms = torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None])
    assert norms.norm() == pytest.approx(1e-3, rel=1e-3)
