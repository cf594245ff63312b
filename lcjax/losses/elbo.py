"""The evidence lower bound (ELBO), in nats."""

import chex
import jax
import jax.numpy as jnp


def gaussian_log_likelihood(
  x: jax.Array, mean: jax.Array, sigma_x: float | jax.Array
) -> jax.Array:
  """Log N(x; mean, sigma_x^2 I) of every row, in nats.

  Includes the normaliser, so that ELBOs at different sigma_x are comparable.

  Args:
    x: [B, ...] data.
    mean: [B, ...] means.
    sigma_x: standard deviations, positive: one of every pixel, or an array that
      broadcasts to x.

  Returns:
    [B] log-densities, summed over all axes but the first.
  """
  chex.assert_equal_shape([x, mean])
  squared = jnp.square((x - mean) / sigma_x)
  normaliser = jnp.log(2.0 * jnp.pi) + 2.0 * jnp.log(sigma_x)
  return -0.5 * jnp.sum(squared + normaliser, axis=tuple(range(1, x.ndim)))


def bernoulli_log_likelihood(x: jax.Array, logits: jax.Array) -> jax.Array:
  """Log of the Bernoulli likelihood of every row, in nats.

  Kingma & Welling, arXiv:1312.6114, appendix C.1. For x strictly between 0 and
  1, it is minus a cross-entropy and no density: values compare neither with a
  Gaussian's nor, as evidence, with those of binary data.

  Args:
    x: [B, ...] in [0, 1].
    logits: [B, ...]; their sigmoid is the mean of x.

  Returns:
    [B] values of at most 0, summed over all axes but the first.
  """
  chex.assert_equal_shape([x, logits])
  # x log s(l) + (1 - x) log(1 - s(l)) = x l - softplus(l)
  each = x * logits - jax.nn.softplus(logits)
  return jnp.sum(each, axis=tuple(range(1, x.ndim)))


def gaussian_kl(mean: jax.Array, scale: jax.Array) -> jax.Array:
  """KL(N(mean, scale^2) || N(0, I)) of every row, in nats.

  Kingma & Welling, arXiv:1312.6114, Appendix B (Gaussian case).

  Args:
    mean: [B, Z] posterior means.
    scale: [B, Z] posterior standard deviations, positive.

  Returns:
    [B] divergences, summed over Z.
  """
  chex.assert_rank([mean, scale], 2)
  chex.assert_equal_shape([mean, scale])
  return jnp.sum(0.5 * (mean**2 + scale**2 - 1.0) - jnp.log(scale), axis=-1)


def negative_elbo(
  log_likelihood: jax.Array, kl: jax.Array, beta: float
) -> jax.Array:
  """-log p(x|z) + beta KL of every row, in nats; the ELBO has beta 1.

  Args:
    log_likelihood: [B] one-sample estimates of E_q log p(x|z).
    kl: [B] divergences of q(z|x) from the prior.
    beta: weight of the divergence (Higgins et al., beta-VAE).

  Returns:
    [B] values to minimise.
  """
  chex.assert_rank([log_likelihood, kl], 1)
  return -log_likelihood + beta * kl
