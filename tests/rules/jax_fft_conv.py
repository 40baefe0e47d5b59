"""A long circular convolution of several channels by Fourier transforms."""

import jax
import jax.numpy as jnp


def _circular(first, second, size):
    return jnp.fft.irfft(first * second, n=size, axis=-1)


@jax.custom_vjp
def fft_conv(x, kernel):
    spectrum = jnp.fft.rfft(x.astype(jnp.float32), axis=-1)
    response = jnp.fft.rfft(kernel.astype(jnp.float32), axis=-1)
    return _circular(spectrum, response, x.shape[-1]).astype(x.dtype)


def _forward(x, kernel):
    return fft_conv(x, kernel), (x, kernel)


def _backward(residuals, g):
    x, kernel = residuals
    n = x.shape[-1]
    gf = jnp.fft.rfft(g.astype(jnp.float32), axis=-1)
    xf = jnp.fft.rfft(x.astype(jnp.float32), axis=-1)
    kf = jnp.fft.rfft(kernel.astype(jnp.float32), axis=-1)
    dx = _circular(gf, jnp.conj(kf), n)
    dkernel = _circular(gf, jnp.conj(xf), n).sum(0)
    return dx.astype(x.dtype), dkernel.astype(kernel.dtype)


fft_conv.defvjp(_forward, _backward)
RULE = fft_conv


def inputs(rng, m=160, channels=2, n=12):
    return {"x": rng.normal(size=(m, channels, n)), "kernel": rng.normal(size=(channels, n))}


FAULTS = [
    ("dx = _circular(gf, jnp.conj(kf), n)", "dx = _circular(gf, kf, n)", ["x"], "wrong", ["transpose"]),
    ("dx = _circular(gf, jnp.conj(kf), n)", "dx = _circular(gf, -jnp.conj(kf), n)", ["x"], "wrong", ["sign"]),
    ("dx = _circular(gf, jnp.conj(kf), n)", "dx = _circular(gf, jnp.conj(kf), n) / n", ["x"], "wrong", ["factor"]),
    ("jnp.conj(xf), n).sum(0)", "jnp.conj(xf), n).mean(0)", ["kernel"], "wrong", ["factor"]),
    ("_circular(gf, jnp.conj(xf), n)", "_circular(jnp.ones_like(gf), jnp.conj(xf), n)", ["kernel"], "wrong",
     ["grad_output"]),
    ("jnp.conj(xf), n).sum(0)", "jnp.conj(xf), n)[:-1].sum(0)", ["kernel"], "wrong", ["missing_term"]),
    ("return dx.astype(x.dtype), dkernel", "return g, dkernel", ["x"], "wrong", ["missing_derivative"]),
    ("dkernel = _circular(gf, jnp.conj(xf), n).sum(0)",
     "dkernel = sum(jnp.split(_circular(gf, jnp.conj(xf), n).astype(x.dtype), len(x)), jnp.zeros_like(kernel))[0]",
     ["kernel"], "imprecise", ["precision"]),
    ("kf = jnp.fft.rfft(kernel.astype(jnp.float32), axis=-1)",
     "kf = jnp.fft.rfft(kernel.astype(jnp.bfloat16).astype(jnp.float32), axis=-1)", ["x"], "imprecise", ["precision"]),
]  # fmt: skip
