"""tanh, by whichever of the kernels at hand is faster.

On a CPU ``torch.tanh`` is MKL's, which keeps to AVX2 on processors not made by Intel; NumPy's own
uses AVX-512 (or NEON): [32, 256] in float32 takes 2 µs with it and 20 µs without (one core of an AMD
EPYC, Zen 5; torch 2.13, NumPy 2.4). With AVX2 alone MKL's is the faster one: 17 µs, and NumPy's 24 µs
(Zen 3). NumPy's is within 2 units in the last place.
"""

import numpy as np
import torch
from torch import Tensor

IS_NUMPY_FASTER = torch.backends.cpu.get_cpu_capability() != "AVX2"


def tanh_(tensor: Tensor) -> Tensor:
    """tanh in place; not recorded by autograd."""
    if not (IS_NUMPY_FASTER and tensor.is_cpu and tensor.dtype == torch.float32):
        return tensor.tanh_()
    values = tensor.numpy()
    np.tanh(values, out=values)
    return tensor
