"""Arrays in memory that a process and those it forks later all see: numbers cross without a word said."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def shared(array: NDArray[Any]) -> NDArray[Any]:
    """A copy of the array in such memory. Each number is whole at any time; the array as a whole need not be."""
    memory = mmap.mmap(-1, max(array.nbytes, 1))
    copy: NDArray[Any] = np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)
    copy[...] = array
    return copy
