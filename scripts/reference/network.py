"""The network and the batches that everyone is compared on: numpy alone, so that they can be made without PyTorch."""
import numpy as np

SIZES = {"small": ([32, 48, 48, 10], 32), "full": ([784, 1024, 1024, 10], 256)}


def normal(generator, *shape):
    return generator.standard_normal(shape, dtype=np.float32)


def initial_weights(widths):
    """torch.nn.Linear's default: uniform in +-1/sqrt(inputs); weights are [outputs, inputs]."""
    generator, weights = np.random.default_rng(2), {}
    for i, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
        bound = n_in ** -0.5
        weights[f"fc{i}.weight"] = generator.uniform(-bound, bound, (n_out, n_in)).astype(np.float32)
        weights[f"fc{i}.bias"] = generator.uniform(-bound, bound, n_out).astype(np.float32)
    return weights


def batch(widths, count, step):
    """Inputs, and as labels the classes that a fixed random teacher gives them."""
    x = normal(np.random.default_rng(5000 + step), count, widths[0])
    teacher = normal(np.random.default_rng(6), widths[0], widths[-1])
    return x, np.argmax(x @ teacher, 1).astype(np.int32)
