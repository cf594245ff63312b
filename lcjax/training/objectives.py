"""Loss functions of the VAE and of classifiers.

Each `make_*_loss` takes callables, never modules, and returns
`loss_fn(params, batch, key) -> (scalar, metrics)`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lcjax import types
from lcjax.latent import noise
from lcjax.losses import elbo
from lcjax.training import steps


def to_unit(images: jax.Array) -> jax.Array:
  """Scales uint8 images to float32 in [0, 1]."""
  return images.astype(jnp.float32) / 255.0


Likelihood = Callable[[jax.Array, jax.Array], jax.Array]


def gaussian_likelihood(sigma_x: float) -> Likelihood:
  """(x, logits) -> log N(x; sigmoid(logits), sigma_x^2 I) of every row."""
  return lambda x, logits: elbo.gaussian_log_likelihood(
    x, jax.nn.sigmoid(logits), sigma_x
  )


def make_vae_loss(
  encode_fn: Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]],
  decode_fn: Callable[[Any, jax.Array], jax.Array],
  sigma_x: float,
  beta: float,
) -> steps.LossFn:
  """The negative ELBO of Kingma & Welling, arXiv:1312.6114.

  Args:
    encode_fn: (params, images in [0, 1]) -> (mean, scale), each [B, Z].
    decode_fn: (params, z) -> logits of the mean of p(x|z).
    sigma_x: standard deviation of a pixel.
    beta: weight of the KL divergence.

  Returns:
    The loss over batches with 'image' and 'row'. It uses no labels.
  """
  return _make_elbo_loss(
    lambda params, images, batch: encode_fn(params, images),
    lambda params, z, batch: decode_fn(params, z),
    gaussian_likelihood(sigma_x),
    beta,
  )


def make_conditional_vae_loss(
  encode_fn: Callable[[Any, jax.Array, jax.Array], tuple[jax.Array, jax.Array]],
  decode_fn: Callable[[Any, jax.Array, jax.Array], jax.Array],
  likelihood_fn: Likelihood,
  beta: float,
) -> steps.LossFn:
  """The negative ELBO of log p(x|y), Sohn et al. 2015, with p(z|y) = N(0, I).

  Kingma et al., arXiv:1406.5298, equation 6.

  Args:
    encode_fn: (params, images in [0, 1], y) -> (mean, scale), each [B, Z].
    decode_fn: (params, z, y) -> logits of the mean of p(x|z,y).
    likelihood_fn: (x, logits) -> log p(x|z,y) of every row.
    beta: weight of the KL divergence.

  Returns:
    The loss over batches with 'image', 'attributes' and 'row'.
  """
  return _make_elbo_loss(
    lambda params, images, batch: encode_fn(
      params, images, batch['attributes']
    ),
    lambda params, z, batch: decode_fn(params, z, batch['attributes']),
    likelihood_fn,
    beta,
  )


def _make_elbo_loss(
  encode_fn: Callable[..., tuple[jax.Array, jax.Array]],
  decode_fn: Callable[..., jax.Array],
  likelihood_fn: Likelihood,
  beta: float,
) -> steps.LossFn:
  """The loss of functions that see the batch, too, as their last argument."""

  def loss_fn(
    params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    images = to_unit(batch['image'])
    mean, scale = encode_fn(params, images, batch)
    z = mean + scale * noise.normal(key, batch['row'], mean.shape[-1])
    logits = decode_fn(params, z, batch)
    log_likelihood = likelihood_fn(images, logits)
    kl = elbo.gaussian_kl(mean, scale)
    loss = jnp.mean(elbo.negative_elbo(log_likelihood, kl, beta))
    metrics = {
      'loss': loss,
      'elbo_nats': jnp.mean(log_likelihood - kl),
      'reconstruction_nats': jnp.mean(log_likelihood),
      'kl_nats': jnp.mean(kl),
      'pixel_mse': jnp.mean(jnp.square(images - jax.nn.sigmoid(logits))),
    }
    return loss, metrics

  return loss_fn


def make_second_vae_loss(
  encode_fn: Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]],
  decode_fn: Callable[[Any, jax.Array], jax.Array],
  gamma_fn: Callable[[Any], jax.Array],
) -> steps.LossFn:
  """The negative ELBO of latents z with learned standard deviations gamma.

  Dai & Wipf, arXiv:1903.05789, section 4. The log-likelihood keeps its term
  -sum log gamma: without it gamma would grow, and f(u) seek the mean.

  Args:
    encode_fn: (params, z) -> (mean, scale) of q(u|z), each [B, Z].
    decode_fn: (params, u) -> f(u), the mean of p(z|u), [B, Z].
    gamma_fn: params -> the standard deviations of p(z|u), [Z].

  Returns:
    The loss over batches with 'mean' and 'scale' of q(z|x) and 'row'. Every
    step draws new z and u.
  """

  def loss_fn(
    params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    z_key, u_key = jax.random.split(key)
    rows, size = batch['row'], batch['mean'].shape[-1]
    z = batch['mean'] + batch['scale'] * noise.normal(z_key, rows, size)
    mean, scale = encode_fn(params, z)
    u = mean + scale * noise.normal(u_key, rows, mean.shape[-1])
    decoded, gamma = decode_fn(params, u), gamma_fn(params)
    log_likelihood = elbo.gaussian_log_likelihood(z, decoded, gamma[None])
    kl = elbo.gaussian_kl(mean, scale)
    loss = jnp.mean(elbo.negative_elbo(log_likelihood, kl, 1.0))
    return loss, {
      'loss': loss,
      'elbo_nats': -loss,
      'reconstruction_nats': jnp.mean(log_likelihood),
      'kl_nats': jnp.mean(kl),
      'latent_mse': jnp.mean(jnp.square(z - decoded)),
      'gamma': jnp.exp(jnp.mean(jnp.log(gamma))),  # geometric mean
    }

  return loss_fn


def classification(
  logits: jax.Array, y: jax.Array, labels: types.Labels
) -> tuple[jax.Array, jax.Array]:
  """Loss and accuracy of any classifier: of pixels, z or noised z.

  Args:
    logits: [B, Y].
    y: [B, Y] zeros and ones.
    labels: of the attributes.

  Returns:
    Cross-entropy in nats and fraction correct, both means over the batch.
  """
  losses = labels.cross_entropy(logits, y, jnp.ones_like(y))
  return jnp.mean(losses), jnp.mean(labels.accuracy(logits, y))


def make_classifier_loss(
  logits_fn: Callable[[Any, jax.Array], jax.Array],
  labels: types.Labels,
  pixel_noise: float,
  flip: bool,
) -> steps.LossFn:
  """The cross-entropy of a pixel classifier.

  Args:
    logits_fn: (params, images in [0, 1]) -> [B, Y].
    labels: of the attributes.
    pixel_noise: standard deviation of the noise added to pixels.
    flip: whether to flip each image left to right with probability 1/2.

  Returns:
    The loss over batches with 'image', 'attributes' and 'row'.
  """

  def loss_fn(
    params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    images = to_unit(batch['image'])
    if steps.may_be_nonzero(pixel_noise):
      size = images[0].size
      eps = noise.normal(key, batch['row'], size).reshape(images.shape)
      images = images + pixel_noise * eps
    if flip:
      # A separate key, so that flips do not change the noise.
      draw = noise.uniform(jax.random.fold_in(key, 1), batch['row'])
      mirrored = (draw < 0.5)[:, None, None, None]
      images = jnp.where(mirrored, images[:, :, ::-1], images)
    loss, accuracy = classification(
      logits_fn(params, images), batch['attributes'], labels
    )
    return loss, {'loss': loss, 'accuracy': accuracy}

  return loss_fn
