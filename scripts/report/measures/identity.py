"""One-hot against embedding, as functions: how far apart outputs and gradients are.

V vocabulary · E embedding size
"""

from typing import Any

import torch
from torch.nn import functional as F

from charlm.model import CharLM

T, B, V, H, E = 35, 32, 28, 128, 28


def one_hot_and_embedding(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """By dtype, the largest differences of the logits, and of the gradient by W_ih, relative to
    the largest value, between

    - ``identity``: one-hot, and an embedding whose table is the identity matrix;
    - ``folded``: an embedding with any table E, and one-hot with the weights W_ih Eᵀ.
    """
    return {
        str(dtype).removeprefix("torch."): difference(dtype)
        for dtype in (torch.float32, torch.float64)
    }


def difference(dtype: torch.dtype) -> dict[str, float]:
    torch.manual_seed(0)
    ids_TB = torch.randint(V, (T + 1, B))

    def logits_and_gradient(model: CharLM) -> tuple[torch.Tensor, torch.Tensor]:
        model.zero_grad()
        logits_TBV, _ = model(ids_TB[:-1])
        F.cross_entropy(logits_TBV.flatten(0, 1), ids_TB[1:].flatten()).backward()
        gradient = model.cells[0].weight_ih.grad
        assert gradient is not None
        return logits_TBV.detach(), gradient

    def distances() -> tuple[float, float]:
        ours, theirs = logits_and_gradient(embedded), logits_and_gradient(one_hot)
        of_logits, of_gradient = (
            float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True)
        )
        return of_logits, of_gradient

    options: dict[str, Any] = {"hidden_sizes": [H], "initialisation": "uniform"}
    embedded = CharLM(V, encoding="embedding", embedding_size=E, **options).to(dtype)
    one_hot = CharLM(V, **options).to(dtype)
    # The other weights are the same in both.
    weights = embedded.state_dict()
    table_VE = weights.pop("embedding.weight")
    folded = weights["layers.0.weight_ih"] @ table_VE.t()
    one_hot.load_state_dict(weights | {"layers.0.weight_ih": folded})
    of_folded, _ = distances()
    # The state's tensors are the model's own.
    table_VE.copy_(torch.eye(V))
    one_hot.load_state_dict(weights)
    of_logits, of_gradient = distances()
    return {"folded": of_folded, "identity": of_logits, "gradient": of_gradient}
