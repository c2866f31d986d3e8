"""What a run's last bits depend on beside its options: the processor and the versions."""

import platform
from typing import Any

import lightning
import numpy as np
import torch


def machine(device: torch.device) -> dict[str, str]:
    """The processor with the instruction set that torch uses, the device, and the versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "device": name,
        "torch": str(torch.__version__),  # no subclass of str is plain
        "lightning": lightning.__version__,
        "numpy": np.__version__,
    }


def difference(before: dict[str, Any], now: dict[str, str]) -> str | None:
    """What of it has changed, in a sentence for the user; none: the bits will be the same."""
    changed = [
        f"{name} {before[name]} (now {now[name]})"
        for name in now
        if name in before and before[name] != now[name]
    ]
    if not changed:
        return None
    return (
        f"the checkpoint was written with {', '.join(changed)}: the run goes on, but may end with "
        "other last digits than one that was never stopped."
    )
