"""Builds the networks that see images from sections of the config."""

from collections.abc import Sequence

import ml_collections
from flax import linen as nn

from lcjax import errors
from lcjax.models import classifier, conditional, gan, networks, vae


def check_convolutions(
  section: ml_collections.ConfigDict,
  strides: Sequence[int],
  image_shape: tuple[int, int, int],
  key: str,
) -> None:
  """Raises UserError if the layers do not fit each other or the images.

  Args:
    section: has `conv_channels` and `conv_kernels`.
    strides: one per layer.
    image_shape: (H, W, C).
    key: dotted name of the section, for errors.
  """
  lengths = {
    'conv_channels': len(section.conv_channels),
    'conv_kernels': len(section.conv_kernels),
    'conv_strides': len(strides),
  }
  for name, length in lengths.items():
    if length != lengths['conv_channels']:
      raise errors.UserError(
        f'config.{key}.{name} has length {length}, but '
        f'config.{key}.conv_channels has length {lengths["conv_channels"]}: '
        'give one entry per layer'
      )
  height, width, _ = image_shape
  halvings = sum(stride == 2 for stride in strides)
  if height % 2**halvings or width % 2**halvings:
    raise errors.UserError(
      f'config.{key} has {halvings} layers of stride 2, but {height}x{width} '
      f'pixels are not divisible by {2**halvings}: use fewer of these layers'
    )


def build_encoder(
  section: ml_collections.ConfigDict,
  strides: Sequence[int],
  image_shape: tuple[int, int, int],
  key: str,
) -> nn.Module:
  """Builds the encoder that a section's `architecture` selects.

  Args:
    section: `config.vae`, or that of a judge.
    strides: one per convolution.
    image_shape: (H, W, C).
    key: dotted name of the section, for errors.
  """
  if section.architecture == 'mlp':
    return networks.MlpEncoder(
      hidden_sizes=section.hidden_sizes,
      activation=section.activation,
      dtype=section.matmul_dtype,
    )
  check_convolutions(section, strides, image_shape, key)
  return networks.ConvEncoder(
    channels=section.conv_channels,
    kernels=section.conv_kernels,
    strides=strides,
    activation=section.activation,
    dtype=section.matmul_dtype,
  )


def build_decoder(
  section: ml_collections.ConfigDict, image_shape: tuple[int, int, int]
) -> nn.Module:
  """Builds the decoder that mirrors a section's encoder of stride 2."""
  if section.architecture == 'mlp':
    return networks.MlpDecoder(
      image_shape=image_shape,
      hidden_sizes=section.hidden_sizes[::-1],
      activation=section.activation,
      dtype=section.matmul_dtype,
    )
  return networks.ConvDecoder(
    image_shape=image_shape,
    channels=section.conv_channels[::-1],
    kernels=section.conv_kernels[::-1],
    activation=section.activation,
    dtype=section.matmul_dtype,
  )


def build_vae(
  section: ml_collections.ConfigDict,
  image_shape: tuple[int, int, int],
  key: str = 'vae',
) -> vae.Vae:
  """Builds a VAE; its decoder mirrors its encoder; key is its section's."""
  strides = (2,) * len(section.conv_channels)
  return vae.Vae(
    encoder=build_encoder(section, strides, image_shape, key),
    decoder=build_decoder(section, image_shape),
    latent_size=section.latent_size,
    dtype=section.matmul_dtype,
  )


def build_gan(
  section: ml_collections.ConfigDict, image_shape: tuple[int, int, int]
) -> tuple[gan.Generator, gan.Discriminator]:
  """Builds a generator that mirrors its discriminator, and this."""
  strides = (2,) * len(section.conv_channels)
  encoder = build_encoder(section, strides, image_shape, 'gan')
  decoder = build_decoder(section, image_shape)
  return gan.Generator(decoder), gan.Discriminator(encoder)


def build_conditional_vae(
  section: ml_collections.ConfigDict, image_shape: tuple[int, int, int]
) -> conditional.ConditionalVae:
  """Builds the conditional VAE of bodies as `build_vae` builds."""
  strides = (2,) * len(section.conv_channels)
  return conditional.ConditionalVae(
    encoder=build_encoder(section, strides, image_shape, 'conditional_vae'),
    decoder=build_decoder(section, image_shape),
    latent_size=section.latent_size,
    label_size=section.label_size,
    dtype=section.matmul_dtype,
  )


def build_conditional_gan(
  section: ml_collections.ConfigDict, image_shape: tuple[int, int, int]
) -> tuple[
  conditional.ConditionalGenerator, conditional.ConditionalDiscriminator
]:
  """Builds g(z, y) and D(x, y) of bodies as `build_vae` builds."""
  strides = (2,) * len(section.conv_channels)
  return conditional.ConditionalGenerator(
    decoder=build_decoder(section, image_shape),
    label_size=section.label_size,
    dtype=section.matmul_dtype,
  ), conditional.ConditionalDiscriminator(
    encoder=build_encoder(section, strides, image_shape, 'conditional_gan')
  )


def build_classifier(
  section: ml_collections.ConfigDict,
  image_shape: tuple[int, int, int],
  num_attributes: int,
  key: str,
) -> classifier.Classifier:
  """Builds a judge; `key` is the name of its section, for errors."""
  return classifier.Classifier(
    num_attributes=num_attributes,
    body=build_encoder(section, section.conv_strides, image_shape, key),
    head_sizes=section.head_sizes,
    activation=section.activation,
    dtype=section.matmul_dtype,
  )
