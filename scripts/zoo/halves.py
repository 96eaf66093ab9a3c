"""What a run in 16 bits is held to: twice the error of the library's own run in that dtype, or, where the library has none, of f64 arithmetic on
weights and inputs that are rounded once."""
import numpy
import torch

DTYPES = {"16": torch.float16, "bf16": torch.bfloat16}


def distance(found, wanted):
    """The norm of the difference over the norm."""
    return numpy.linalg.norm(found - wanted) / numpy.linalg.norm(wanted)


def bound(flags, wanted, run):
    """`run(dtype, rounded)` computes in a dtype what was rounded to another one before."""
    dtype = DTYPES[flags[1]]
    try:
        own = run(dtype, dtype)
        if not torch.isfinite(own).all():
            raise RuntimeError("it overflows")
    except RuntimeError:
        own = run(torch.float64, dtype)
    return 2 * distance(own.double().numpy(), wanted)
