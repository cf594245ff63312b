"""The gradient penalty of known critics."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from lcjax.losses import adversarial


class GradientPenaltyTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(0)
    self.real, self.fake = rng.normal(size=(2, 4, 3)).astype(np.float32)
    self.mix = jnp.array([0.0, 0.25, 0.5, 1.0])

  @chex.variants(with_jit=True, without_jit=True)
  def test_linear_critic(self):
    @self.variant
    def penalty(w):
      return adversarial.gradient_penalty(
        lambda z: z @ w, self.real, self.fake, self.mix
      )

    w = jnp.array([2.0, 3.0, 6.0])  # of length 7
    np.testing.assert_allclose(penalty(w), np.full(4, 36.0), rtol=1e-5)
    np.testing.assert_allclose(penalty(w / 7), np.zeros(4), atol=1e-6)

  def test_is_taken_between_real_and_fake(self):
    # The gradient of |z|^2 / 2 is z: the norm tells where it was taken.
    penalty = adversarial.gradient_penalty(
      lambda z: 0.5 * jnp.sum(z**2, axis=-1), self.real, self.fake, self.mix
    )
    mix = np.array(self.mix)[:, None]
    points = mix * self.real + (1 - mix) * self.fake
    expected = (np.linalg.norm(points, axis=1) - 1) ** 2
    np.testing.assert_allclose(penalty, expected, rtol=1e-5)
    np.testing.assert_array_equal(points[-1], self.real[-1])

  def test_constant_critic_has_a_finite_gradient(self):
    def penalty(w):
      return adversarial.gradient_penalty(
        lambda z: z @ w, self.real, self.fake, self.mix
      ).sum()

    chex.assert_tree_all_finite(jax.value_and_grad(penalty)(jnp.zeros(3)))


class ImagesTest(chex.TestCase):
  """Penalties sum over all axes of a row, as of latents with as many values."""

  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(1)
    self.real, self.fake = rng.normal(size=(2, 4, 2, 3, 1)).astype(np.float32)
    self.w = rng.normal(size=6).astype(np.float32)

  def critic_fn(self, x):
    return x.reshape(len(x), -1) ** 2 @ self.w

  def test_penalties_of_images_are_those_of_flat_rows(self):
    mix = jnp.array([0.0, 0.25, 0.5, 1.0])
    flat = [x.reshape(4, 6) for x in (self.real, self.fake)]
    np.testing.assert_allclose(
      adversarial.gradient_penalty(self.critic_fn, self.real, self.fake, mix),
      adversarial.gradient_penalty(self.critic_fn, *flat, mix),
      rtol=1e-5,
    )
    np.testing.assert_allclose(
      adversarial.zero_centred_penalty(self.critic_fn, self.real, 1.0),
      0.5 * np.sum((2 * self.w * flat[0]) ** 2, axis=1),
      rtol=1e-5,
    )
