"""The networks that a config asks for."""

import jax
import jax.numpy as jnp
import pytest

from configs import base
from lcjax import errors
from lcjax.experiment import architectures

SHAPE = (64, 48, 3)


def sections(**changes):
  config = base.get_config()
  for section in (config.vae, config.classifier):
    section.update({k: v for k, v in changes.items() if k in section})
  return config.vae, config.classifier


def shapes_of(module, shape):
  params = jax.eval_shape(
    module.init, jax.random.key(0), jnp.zeros((1, *shape))
  )
  return jax.tree.map(lambda leaf: leaf.shape, params)['params']


def test_dense_decoder_mirrors_encoder():
  section, _ = sections(hidden_sizes=(7, 8), latent_size=6)
  shapes = shapes_of(architectures.build_vae(section, (4, 5, 2)), (4, 5, 2))
  encoder, decoder = shapes['encoder']['mlp'], shapes['decoder']['mlp']
  assert encoder['Dense_0']['kernel'] == (40, 7)
  assert encoder['Dense_1']['kernel'] == (7, 8)
  assert shapes['posterior']['kernel'] == (8, 12)
  assert decoder['Dense_0']['kernel'] == (6, 8)
  assert decoder['Dense_1']['kernel'] == (8, 7)
  assert shapes['decoder']['pixels']['kernel'] == (7, 40)


def test_convolutional_decoder_mirrors_encoder():
  section, _ = sections(
    architecture='conv',
    conv_channels=(4, 5, 6),
    conv_kernels=(5, 4, 3),
    latent_size=7,
  )
  module = architectures.build_vae(section, SHAPE)
  shapes = shapes_of(module, SHAPE)
  kernels = {
    body: [shapes[body][f'conv_{n}']['kernel'] for n in range(3)]
    for body in ('encoder', 'decoder')
  }
  assert kernels['encoder'] == [(5, 5, 3, 4), (4, 4, 4, 5), (3, 3, 5, 6)]
  assert shapes['posterior']['kernel'] == (8 * 6 * 6, 14)
  assert shapes['decoder']['dense']['kernel'] == (7, 8 * 6 * 6)
  assert kernels['decoder'] == [(3, 3, 6, 5), (4, 4, 5, 4), (5, 5, 4, 3)]
  images = jnp.zeros((2, *SHAPE))
  output = jax.eval_shape(
    lambda: module.init_with_output(jax.random.key(0), images)[0]
  )
  assert output.shape == (2, *SHAPE)


def test_convolutional_judge():
  _, section = sections(
    architecture='conv',
    conv_channels=(4, 5, 6),
    conv_kernels=(5, 3, 3),
    conv_strides=(2, 1, 2),
  )
  module = architectures.build_classifier(section, SHAPE, 10, 'classifier')
  shapes = shapes_of(module, SHAPE)
  assert shapes['body']['conv_1']['kernel'] == (3, 3, 4, 5)
  assert shapes['Dense_0']['kernel'] == (6, 10)


@pytest.mark.parametrize('architecture', ['mlp', 'conv'])
def test_dtype_reaches_every_part(architecture):
  vae_section, judge_section = sections(
    architecture=architecture, matmul_dtype='bfloat16'
  )
  vae = architectures.build_vae(vae_section, SHAPE)
  judge = architectures.build_classifier(judge_section, SHAPE, 10, 'classifier')
  parts = (vae, vae.encoder, vae.decoder, judge, judge.body)
  assert {part.dtype for part in parts} == {'bfloat16'}


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'conv_kernels': (3, 3)}, 'conv_kernels has length 2'),
    ({'conv_strides': (2,)}, 'second_classifier.conv_strides has length 1'),
    (
      {
        'conv_channels': (4,) * 5,
        'conv_kernels': (3,) * 5,
        'conv_strides': (2,) * 5,
      },
      '64x48 pixels are not divisible by 32',
    ),
  ],
)
def test_what_does_not_fit_is_one_line(changes, message):
  vae_section, judge_section = sections(architecture='conv', **changes)
  with pytest.raises(errors.UserError, match=message) as info:
    architectures.build_vae(vae_section, SHAPE)
    architectures.build_classifier(
      judge_section, SHAPE, 10, 'second_classifier'
    )
  assert '\n' not in str(info.value)
  # The keys of the other architecture do not matter.
  vae_section.architecture = judge_section.architecture = 'mlp'
  architectures.build_vae(vae_section, SHAPE)
  architectures.build_classifier(judge_section, SHAPE, 10, 'second_classifier')
