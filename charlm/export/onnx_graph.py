"""An ONNX graph as it is written, node by node.

B lanes
"""

from typing import Any

import numpy as np
from torch import Tensor


class Graph:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Tensor | np.ndarray) -> str:
        import onnx

        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **options: Any) -> str:
        """Add a node with one output, and return the output's name."""
        return self.add_many(operator, *inputs, outputs=[output], **options)[0]

    def add_many(
        self, operator: str, *inputs: str, outputs: list[str | None], **options: Any
    ) -> list[str]:
        from onnx import helper

        prefix = f"{operator.lower()}_{len(self.nodes)}"
        names = [name or f"{prefix}_{i}" for i, name in enumerate(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **options))
        return names

    def scalar(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))

    def one_plus(self, value: str) -> str:
        return self.add("Add", self.scalar(1), value)

    def linear(
        self, vectors: str, weight: Tensor, bias: Tensor | None = None, output: str | None = None
    ) -> str:
        """x Wᵀ + b for W [out, in], b [out]."""
        rest = [] if bias is None else [self.constant(bias)]
        return self.add("Gemm", vectors, self.constant(weight), *rest, transB=1, output=output)

    def layer_norm(self, vectors: str, gain: Tensor, bias: Tensor | None = None) -> str:
        """As ``torch.nn.functional.layer_norm`` over the last dimension."""
        rest = [] if bias is None else [self.constant(bias)]
        return self.add("LayerNormalization", vectors, self.constant(gain), *rest, epsilon=1e-5)

    def chunks(self, value: str, count: int) -> list[str]:
        """The parts of a value [B, count · n] that lie side by side, n wide each."""
        return self.add_many("Split", value, outputs=[None] * count, axis=1)

    def blocks(self, value: str, sizes: list[int]) -> list[str]:
        """The parts of a value [B, Σ sizes] that lie side by side."""
        lengths = self.constant(np.array(sizes, dtype=np.int64))
        return self.add_many("Split", value, lengths, outputs=[None] * len(sizes), axis=1)
