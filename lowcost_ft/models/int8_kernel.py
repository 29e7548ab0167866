"""A small kernel in C for int8 layers, compiled when it is first needed, where there is a compiler.

It does in one pass what takes PyTorch's operators four (`integer_products.py`): rounding the rows
of a matrix to 8 bits, and scaling the integer sums of a product. Both are computed by the same
operations in the same order, so that the results are the same to the bit.
"""

import ctypes
import functools
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

__all__ = ["Kernel", "load_kernel"]

_SOURCE = r"""
#include <stdint.h>
#include <string.h>

static inline uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

/* Without the sign bit, floats are in the order of their bits, and NaN is above all. */
static inline uint32_t size_of(float value) { return bits_of(value) & 0x7fffffffu; }

/* Adding 1.5 * 2^23 rounds to an integer, half to even, and leaves it in the lowest bits. */
static inline int8_t rounded(float value) { return (int8_t)bits_of(value + 12582912.0f); }

void quantize_rows(const float *x, const float *factors, int8_t *codes, float *scales,
                   int64_t rows, int64_t width, float least, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows * width > 65536)
  for (int64_t i = 0; i < rows; i++) {
    const float *restrict from = x + i * width;
    int8_t *restrict to = codes + i * width;
    uint32_t top = 0;
    if (factors) {
      for (int64_t j = 0; j < width; j++) {
        uint32_t size = size_of(from[j] * factors[j]);
        top = size > top ? size : top;
      }
    } else {
      for (int64_t j = 0; j < width; j++) {
        uint32_t size = size_of(from[j]);
        top = size > top ? size : top;
      }
    }
    float largest;
    memcpy(&largest, &top, 4);
    if (largest < least) largest = least;
    const float factor = (1.0f / largest) * 127.0f;
    scales[i] = largest * (float)(1.0 / 127.0);
    if (factors) {
      for (int64_t j = 0; j < width; j++) to[j] = rounded(from[j] * factors[j] * factor);
    } else {
      for (int64_t j = 0; j < width; j++) to[j] = rounded(from[j] * factor);
    }
  }
}

/* In place: each sum of 32 bits becomes the float that it stands for. */
void scale_sums(float *y, const float *scales, const float *columns, const float *bias,
                int64_t rows, int64_t width, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows * width > 65536)
  for (int64_t i = 0; i < rows; i++) {
    float *out = y + i * width;
    const int32_t *sums = (const int32_t *)out;
    const float scale = scales[i];
    if (columns && bias) {
      for (int64_t j = 0; j < width; j++) out[j] = (float)sums[j] * scale * columns[j] + bias[j];
    } else if (columns) {
      for (int64_t j = 0; j < width; j++) out[j] = (float)sums[j] * scale * columns[j];
    } else {
      for (int64_t j = 0; j < width; j++) out[j] = (float)sums[j] * scale;
    }
  }
}
"""

# Contracted into one, a product and a sum would be rounded once, where PyTorch rounds twice.
_FLAGS = ["-O3", "-std=c99", "-shared", "-fPIC", "-ffp-contract=off", "-fno-strict-aliasing"]
_TRIES: tuple[list[str], ...] = (["-march=native", "-fopenmp"], ["-march=native"], [])
_SECONDS = 60


class Kernel:
    """The compiled functions, called with float32 tensors on the CPU that are contiguous."""

    def __init__(self, library: ctypes.CDLL) -> None:
        pointer, size = ctypes.c_void_p, ctypes.c_int64
        self._quantize: Callable[..., None] = library.quantize_rows
        self._scale: Callable[..., None] = library.scale_sums
        library.quantize_rows.argtypes = [*[pointer] * 4, size, size, ctypes.c_float, ctypes.c_int]
        library.scale_sums.argtypes = [*[pointer] * 4, size, size, ctypes.c_int]
        library.quantize_rows.restype = library.scale_sums.restype = None

    def quantize_rows(
        self,
        x: torch.Tensor,
        factors: torch.Tensor | None,
        codes: torch.Tensor,
        scales: torch.Tensor,
        *,
        least: float,
    ) -> None:
        """Writes the codes and scales of the rows of `x * factors`.

        Args:
            x: `(rows, width)`, float32.
            factors: `(width,)`, float32, or None for ones.
            codes: `(rows, width)`, int8; written.
            scales: `(rows, 1)`, float32; written.
            least: What the largest number of a row counts as at least.
        """
        self._quantize(
            x.data_ptr(),
            None if factors is None else factors.data_ptr(),
            codes.data_ptr(),
            scales.data_ptr(),
            *x.shape,
            least,
            torch.get_num_threads(),
        )

    def scale_sums(
        self,
        sums: torch.Tensor,
        scales: torch.Tensor,
        columns: torch.Tensor | None,
        bias: torch.Tensor | None,
    ) -> None:
        """Turns integer sums into `sums * scales * columns + bias`, in the same memory.

        Args:
            sums: `(rows, width)`, float32, whose bits are those of int32; written.
            scales: `(rows, 1)`, float32.
            columns: `(width,)`, float32, or None for ones.
            bias: `(width,)`, float32, or None; only with `columns`.
        """
        self._scale(
            sums.data_ptr(),
            scales.data_ptr(),
            None if columns is None else columns.data_ptr(),
            None if bias is None else bias.data_ptr(),
            *sums.shape,
            torch.get_num_threads(),
        )


@functools.cache
def load_kernel() -> Kernel | None:
    """The kernel, compiled for this machine at the first call; None where that does not work."""
    if platform.system() == "Windows":
        return None
    found = filter(None, map(shutil.which, ("cc", "gcc", "clang")))
    try:
        compiler = shlex.split(os.environ.get("CC") or next(found, ""))
        return _compiled(compiler) if compiler else None
    except (OSError, ValueError):  # No room for temporary files, or CC has an open quote.
        return None


def _compiled(compiler: list[str]) -> Kernel | None:
    # Each process compiles its own, in a tenth of a second: a stored one might meet another CPU.
    with tempfile.TemporaryDirectory(prefix="lowcost-ft-") as folder:
        source, library = Path(folder, "int8.c"), Path(folder, "int8.so")
        source.write_text(_SOURCE)
        for flags in _TRIES:
            command = [*compiler, *_FLAGS, *flags, str(source), "-o", str(library)]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)
                return Kernel(ctypes.CDLL(str(library)))
            except (OSError, subprocess.SubprocessError):
                continue
    return None
