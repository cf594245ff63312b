"""Every key of every experiment: its meaning, unit and default.

Experiments (`configs/digits.py`, ...) change values, ablations change a few
more. Nothing else holds defaults.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from lcjax import errors, keys


def _optimizer(learning_rate: float, schedule: str) -> dict[str, Any]:
  return {
    'name': 'adam',  # any optax optimiser that needs nothing but gradients
    'learning_rate': learning_rate,
    'schedule': schedule,  # constant | cosine | log_linear
    'final_learning_rate': learning_rate / 100,  # ignored by `constant`
    'b1': 0.9,  # decay of the first moment; only where the optimiser has one
    'b2': 0.999,  # decay of the second moment; likewise
    'arguments': {},  # any others of that optax function, set by an ablation
  }


def _train(num_steps: int, batch_size: int) -> dict[str, Any]:
  return {
    'num_steps': num_steps,
    'batch_size': batch_size,  # rows over all devices together
    # Steps in one dispatch (lax.scan). 1 for convolutions on a CPU: XLA runs
    # them many times slower inside of a loop.
    'steps_per_call': 50,
    'log_every': 50,  # steps between lines of metrics.jsonl
    'evaluate_every': 500,  # steps between validation values
    'checkpoint_every': 1000,  # steps
    'keep': 2,  # newest checkpoints that stay,
    'keep_every': 0,  # and those at multiples of so many steps; 0: no others
    # stop | skip: what a step does whose gradients are not finite. Skipped, it
    # changes nothing but its count, which is a metric.
    'nonfinite': 'stop',
  }


def _optimize(max_steps: int, learning_rate: float = 0.1) -> dict[str, Any]:
  """Optimizer-G: the mover, the critics' inner loop and edits have one each."""
  return {
    'realism_weight': 1.0,
    'attribute_weight': 3.0,
    'distance_weight': 0.0,
    # Converged: D_realism(z) at least this (0 asks for nothing), and
    'realism_threshold': 0.9,
    'attribute_tolerance': 0.1,  # every |y - D_attr(z)| below this
    'max_steps': max_steps,
    'optimizer': _optimizer(learning_rate, 'constant'),
  }


def get_config() -> ml_collections.ConfigDict:
  """The config with every key at its default."""
  config = ml_collections.ConfigDict()
  config.seed = 0  # of the first replicate; the others count on from it
  config.num_seeds = 1  # replicates of the experiment from the VAE on
  config.parallel = 'jit'  # jit | pmap: how a step spreads over devices

  config.data = {
    # digits | mnist | fashion_mnist | celeba | folder | tfds:mnist |
    # tfds:fashion_mnist | tfds:celeb_a; see lcjax/data/dataset.py
    'name': 'digits',
    'dir': '',  # folder of its files; digits needs none, TFDS has a default
    # The rest is for celeba and folder: the others have one size, and classes.
    'image_size': 64,  # pixels a side
    'crop_size': 128,  # pixels a side, cut from the middle; 0: largest square
    # Names, also joined by commas; empty: celeba's usual ten, all of a folder.
    'attributes': (),
    'cache_dir': '',  # of decoded pixels; empty: WORKDIR/cache
    # black | white: behind transparent images, also the own ones of `generate`.
    'background': 'black',
  }

  config.vae = {
    'latent_size': 16,
    'architecture': 'mlp',  # mlp | conv; the decoder mirrors the encoder
    'hidden_sizes': (256, 256),  # mlp
    'conv_channels': (32, 64, 128, 256),  # conv, every layer of stride 2
    'conv_kernels': (5, 5, 3, 3),
    'activation': 'relu',
    'matmul_dtype': 'float32',  # float32 | bfloat16; parameters stay float32
    'sigma_x': 0.1,  # standard deviation of p(x|z), in units of the pixel range
    'beta': 1.0,  # weight of the KL divergence
    'optimizer': _optimizer(1e-3, 'cosine'),
    'train': _train(5000, 64),
  }

  config.classifier = {  # the judge
    'architecture': 'mlp',  # mlp | conv
    'hidden_sizes': (256, 256),  # mlp
    'conv_channels': (32, 64, 128, 256),  # conv, averaged over space
    'conv_kernels': (5, 3, 3, 3),
    'conv_strides': (2, 2, 2, 2),  # 1 | 2
    'head_sizes': (),  # conv: dense layers at its end; none: average over space
    'activation': 'relu',
    'matmul_dtype': 'float32',  # float32 | bfloat16; parameters stay float32
    'pixel_noise': 0.1,  # standard deviation, added in training only
    'flip': False,  # mirrors half of the images, in training only
    'optimizer': _optimizer(1e-3, 'cosine'),
    'train': _train(2000, 128),
  }

  config.actor_critic = {  # the actor G(z, y) and its critic D(z, y)
    'actor_hidden_sizes': (256, 256, 256),
    'critic_hidden_sizes': (256, 256, 256),
    'label_size': 64,  # width of the linear map of y
    'activation': 'silu',
    'moved_weight': 1.0,  # fakes: prior latents moved by the actor
    'prior_weight': 0.1,  # fakes: raw prior latents
    'mismatched_weight': 1.0,  # fakes: real latents, attributes of other rows
    'gradient_penalty_weight': 0.0,
    'distance_weight': 0.0,  # lambda_dist; the penalty is a mean over latents
    'actor_on_encodings': True,  # with a distance: a second actor update there
    # Further pairs, each a training and a mover of its own (actor_lambda_0.1).
    'more_distance_weights': (),
    'critic_steps_per_actor_step': 1,
    'average_decay': 0.998,  # of the actor's debiased averaged parameters
    'actor_optimizer': _optimizer(1e-3, 'constant'),
    'critic_optimizer': _optimizer(1e-3, 'constant'),
    'train': _train(3000, 128),
  }

  config.latent_critics = {  # D_attr(z) and D_realism(z), for optimizer-G
    'hidden_sizes': (256, 256, 256),
    'activation': 'silu',
    'moved_weight': 1.0,  # fakes: prior latents moved by the inner loop
    'prior_weight': 0.1,  # fakes: raw prior latents
    'gradient_penalty_weight': 0.0,
    # Optimizer-G in each step, whose results are the moved rows. With
    # `inner.max_steps` 0 the critic sees q(z) and p(z) only.
    'inner': _optimize(max_steps=15),
    'average_decay': 0.998,
    'attribute_optimizer': _optimizer(1e-3, 'constant'),
    'realism_optimizer': _optimizer(1e-3, 'constant'),
    'train': _train(2000, 128),
  }

  # The mover optimizer-G. Changing it trains nothing again.
  config.optimize = _optimize(max_steps=100) | {
    # From noise: the best of so many tries of each row, from further noise.
    'num_starts': 1,
  }

  # Edits that keep the identity: optimizer-G starts at the encoding of an image
  # and changes one of its attributes. Small steps and an early stop keep the
  # rest. Read by `launch.figures` alone, so changing it redoes no training.
  config.edit = {
    'optimize': _optimize(max_steps=300, learning_rate=1e-2)
    | {
      'realism_weight': 0.02,
      'attribute_weight': 1.0,
      'realism_threshold': 0.0,
      'attribute_tolerance': 1e-3,
    },
    # The actor's edit is backtracked towards the encoding while |y - D_attr|
    # stays below this; by the actor of the least distance weight.
    'backtrack_tolerance': 0.01,
    'num_images': 2000,  # held-out, at most; a change drawn for each
    # Swept in `identity_frontier`: optimizer-G's distance weight, its
    # tolerance, that of backtracking, and the noise time that the guided
    # denoiser starts from. Actors are those of
    # `actor_critic.more_distance_weights`.
    'distance_weights': (0.0, 0.003, 0.01, 0.03, 0.1, 0.3),
    'attribute_tolerances': (0.5, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
    'backtrack_tolerances': (0.5, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4),
    'edit_times': (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
  }

  config.denoiser = {  # velocity(z_t, t) and D_attr(z_t, t), noised latents
    'width': 320,
    'num_blocks': 3,
    'attribute_width': 256,
    'attribute_blocks': 2,
    'activation': 'silu',
    'average_decay': 0.999,
    'velocity_optimizer': _optimizer(1e-3, 'cosine'),
    'attribute_optimizer': _optimizer(1e-3, 'cosine'),
    'train': _train(3000, 256),
  }

  config.denoise = {  # the guided denoiser
    'num_steps': 30,
    'eta': 0.3,  # 0: deterministic, 1: ancestral
    'attribute_weight': 3.0,  # guidance
    'distance_weight': 0.0,
    # Noise time above which a mixture per class, in closed form, takes the
    # networks' place; 1: nowhere. See lcjax/latent/mixtures.py.
    'mixture_above': 1.0,
    'mixture_attribute_weight': 1.0,  # guidance there
    # Samples from noise, at most, for every row: drawn again while D_attr
    # rejects the encoding of the decoded sample.
    'num_starts': 1,
    # Rejection sampling accepts a row if D_attr gives everything requested a
    # probability above this; that of `class_mixture_kept`, too.
    'accept_above': 0.99,
    'edit_time': 0.5,  # noise time that an encoding starts from; prior: 1
  }

  # Of encodings, by scikit-learn: a baseline, and a part of `denoise`.
  config.mixture = {
    'num_components': 3,  # of each class; together for independent attributes
  }

  config.generate = {
    'num_rows': 8,  # rows of the grid: a start each
    'num_columns': 10,  # held-out label vectors, where no list is given
    'batch_size': 512,  # latents at once; also in compare
    'mixture_components': 20,  # of the Gaussian mixture that may be the start
  }

  config.compare = {
    'split': 'test',  # choose settings on 'validation', report on 'test'
    'num_samples': 2000,  # requested labels: the split's own, over and over
    'num_neighbours': 5,  # k of precision, recall, density and coverage
    'curve_steps': (0, 2, 5, 10, 20, 30, 50, 75, 100),  # of optimizer-G
    'grid_rows': 4,  # images of each class in the report
  }

  config.figures = {  # of `launch.figures`
    'num_rows': 6,  # samples or images of a grid
    'num_columns': 12,  # samples of each kind in `holes`
    'comparison_sigma_x': 1.0,  # of the second VAE of `holes`
    'num_samples': 2000,  # behind the numbers below the pictures
    # Columns of `attribute_grid`: a bit for each attribute, in their order.
    # Empty: every class; the paper's eight vectors for its ten attributes of
    # CelebA; for other attributes, vectors of held-out rows.
    'attribute_vectors': (),
    'path_steps': (0, 10, 30, 50, 100),  # of optimizer-G in `optimizer_path`
    'contour_points': 121,  # of either axis in `realism_contours`
  }
  return config


# Checked by `validate`: dotted key, or its last parts, to (test, what it is).
RANGES = {
  'seed': (lambda v: v >= 0, 'at least 0'),
  'num_seeds': (lambda v: v >= 1, 'at least 1'),
  'parallel': (lambda v: v in ('jit', 'pmap'), "'jit' or 'pmap'"),
  'image_size': (lambda v: v >= 1, 'at least 1'),
  'crop_size': (lambda v: v >= 0, 'at least 0'),
  'background': (lambda v: v in ('black', 'white'), "'black' or 'white'"),
  'attributes': (
    lambda v: all(all(names.split(',')) for names in v),
    'a tuple of names',
  ),
  'sigma_x': (lambda v: v > 0, 'above 0'),
  'beta': (lambda v: v >= 0, 'at least 0'),
  'latent_size': (lambda v: v >= 1, 'at least 1'),
  'label_size': (lambda v: v >= 1, 'at least 1'),
  'hidden_sizes': (lambda v: all(s >= 1 for s in v), 'sizes of at least 1'),
  'architecture': (lambda v: v in ('mlp', 'conv'), "'mlp' or 'conv'"),
  'conv_channels': (
    lambda v: len(v) >= 1 and all(s >= 1 for s in v),
    'a layer or more of at least 1',
  ),
  'conv_kernels': (lambda v: all(s >= 1 for s in v), 'sizes of at least 1'),
  'conv_strides': (lambda v: all(s in (1, 2) for s in v), 'strides of 1 or 2'),
  'matmul_dtype': (
    lambda v: v in ('float32', 'bfloat16'),
    "'float32' or 'bfloat16'",
  ),
  'activation': (
    lambda v: v in ('relu', 'silu', 'gelu', 'tanh'),
    'relu, silu, gelu or tanh',
  ),
  'pixel_noise': (lambda v: v >= 0, 'at least 0'),
  'weight': (lambda v: v >= 0, 'at least 0'),
  'more_distance_weights': (
    lambda v: all(w >= 0 for w in v) and len({f'{w:g}' for w in v}) == len(v),
    'a tuple of different weights of at least 0',
  ),
  'average_decay': (lambda v: 0 <= v < 1, 'in [0, 1)'),
  'critic_steps_per_actor_step': (lambda v: v >= 1, 'at least 1'),
  'max_steps': (lambda v: v >= 0, 'at least 0'),
  'realism_threshold': (lambda v: 0 <= v < 1, 'in [0, 1)'),
  'attribute_tolerance': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'learning_rate': (lambda v: v > 0, 'above 0'),
  'b1': (lambda v: 0 <= v < 1, 'in [0, 1)'),
  'b2': (lambda v: 0 <= v < 1, 'in [0, 1)'),
  'schedule': (
    lambda v: v in ('constant', 'cosine', 'log_linear'),
    'constant, cosine or log_linear',
  ),
  'num_steps': (lambda v: v >= 1, 'at least 1'),
  'batch_size': (lambda v: v >= 1, 'at least 1'),
  'steps_per_call': (lambda v: v >= 1, 'at least 1'),
  'every': (lambda v: v >= 1, 'at least 1'),
  'width': (lambda v: v >= 1, 'at least 1'),
  'blocks': (lambda v: v >= 0, 'at least 0'),
  'num_components': (lambda v: v >= 1, 'at least 1'),
  'mixture_above': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'eta': (lambda v: 0 <= v <= 1, 'in [0, 1]'),
  'edit_time': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'keep': (lambda v: v >= 1, 'at least 1'),
  'keep_every': (lambda v: v >= 0, 'at least 0'),
  'nonfinite': (lambda v: v in ('stop', 'skip'), "'stop' or 'skip'"),
  'num_starts': (lambda v: v >= 1, 'at least 1'),
  'num_rows': (lambda v: v >= 1, 'at least 1'),
  'num_columns': (lambda v: v >= 1, 'at least 1'),
  'grid_rows': (lambda v: v >= 1, 'at least 1'),
  'split': (lambda v: v in ('validation', 'test'), "'validation' or 'test'"),
  'num_samples': (lambda v: v >= 2, 'at least 2'),
  'num_neighbours': (lambda v: v >= 1, 'at least 1'),
  'mixture_components': (lambda v: v >= 1, 'at least 1'),
  'accept_above': (lambda v: 0 <= v < 1, 'in [0, 1)'),
  'curve_steps': (lambda v: all(s >= 0 for s in v), 'steps of at least 0'),
  'path_steps': (
    lambda v: len(v) >= 1 and all(s >= 0 for s in v),
    'a step or more of at least 0',
  ),
  'num_images': (lambda v: v >= 2, 'at least 2'),
  'distance_weights': (
    lambda v: all(w >= 0 for w in v),
    'weights of at least 0',
  ),
  'backtrack_tolerance': (lambda v: 0 < v <= 1, 'in (0, 1]'),
  'backtrack_tolerances': (
    lambda v: all(0 < t <= 1 for t in v),
    'tolerances in (0, 1]',
  ),
  'attribute_tolerances': (
    lambda v: all(0 < t <= 1 for t in v),
    'tolerances in (0, 1]',
  ),
  'edit_times': (lambda v: all(0 < t <= 1 for t in v), 'times in (0, 1]'),
  'attribute_vectors': (
    lambda v: all(
      isinstance(bits, str) and not set(bits) - {'0', '1'} for bits in v
    ),
    "a tuple of strings of 0 and 1, such as ('0010', '0011')",
  ),
  'contour_points': (lambda v: v >= 2, 'at least 2'),
}


def flatten(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Leaves of a config by dotted key."""
  return keys.flatten(config.to_dict())


# What tuples hold that are empty by default.
_ELEMENTS = {
  'data.attributes': str,
  'classifier.head_sizes': int,
  'actor_critic.more_distance_weights': float,
  'figures.attribute_vectors': str,
}
_KINDS = {int: 'whole numbers', float: 'numbers', str: 'names'}
# NumPy, scikit-learn and JAX take seeds of 32 bits, and JAX drops further ones
# without a word.
MOST_SEED = 2**32 - 1


def check_key(key: str, known: Sequence[str]) -> None:
  """Raises UserError unless a dotted key can be set.

  Args:
    key: as a flag or an ablation has it, without `config`.
    known: every leaf of the config.
  """
  section, _, last = key.rpartition('.')
  # An optimiser's further arguments are a dict of any keys, in no leaf's name.
  if key in known or (
    last == 'arguments' and f'{section}.learning_rate' in known
  ):
    return
  inside = [one for one in known if one.startswith(f'{key}.')]
  if inside:
    raise errors.UserError(
      f'config.{key} is a section and takes no value: set its keys, such as '
      f'config.{inside[0]}'
    )
  new = keys.renamed(key)
  if new is not None:
    raise errors.UserError(f'config.{key} is now config.{new}')
  optimizer, dot, name = key.partition('.arguments.')
  if dot and f'{optimizer}.learning_rate' in known:
    raise errors.UserError(
      f'config.{key} cannot be set alone: set all of them, as in '
      f'config.{optimizer}.arguments={{"{name}": VALUE}}'
    )
  raise errors.UserError(
    f'config.{key} does not exist: {errors.nearest(key, known)}'
  )


def check_keys(config: ml_collections.ConfigDict) -> None:
  """Raises UserError unless a config has exactly the keys of `get_config`."""
  found, known = flatten(config), flatten(get_config())
  for key in found:
    if '.arguments.' not in key:  # an optimiser's further ones are optax's
      check_key(key, list(known))
  for key in known:
    if key not in found:
      raise errors.UserError(
        f'config.{key} is missing: a config file begins with '
        'config = base.get_config()'
      )


def _check_type(key: str, value: Any, default: Any) -> None:
  """Raises UserError if a value, or an element of a tuple, is of no such kind.

  ml_collections compares types of whole values alone.
  """
  kind = type(default)
  elements = value if isinstance(value, tuple) else (value,)
  if kind is tuple:
    kind = type(default[0]) if default else _ELEMENTS[key]
  for one in elements:
    fits = type(one) is kind or (kind is float and type(one) is int)
    if not fits and kind in _KINDS:
      many = isinstance(value, tuple)
      wanted = f'a tuple of {_KINDS[kind]}' if many else f'of {kind.__name__}'
      if many and kind is str:  # a name that is a number
        wanted += f', in quotes as in ({str(one)!r},)'
      raise errors.UserError(f'config.{key}={value!r} must be {wanted}')
    if isinstance(one, float) and not math.isfinite(one):
      raise errors.UserError(f'config.{key}={value!r} must be finite')
    if isinstance(one, str) and '\0' in one:
      raise errors.UserError(f'config.{key}={value!r} holds a NUL character')
    if isinstance(one, str) and not one.isascii():
      try:
        one.encode()
      except UnicodeEncodeError as error:  # it could not be reported
        raise errors.UserError(
          f'config.{key}={value!r} is no text in UTF-8: rename what it names'
        ) from error


def validate(config: ml_collections.ConfigDict) -> None:
  """Raises UserError that names the first key that is wrong, and its value."""
  check_keys(config)
  defaults = flatten(get_config())
  for key, value in flatten(config).items():
    if key in defaults:
      _check_type(key, value, defaults[key])
    last = key.rsplit('.', 1)[-1]
    suffixes = [s for s in RANGES if last == s or last.endswith(f'_{s}')]
    if not suffixes:
      continue
    test, meaning = RANGES[max(suffixes, key=len)]  # the most particular one
    if not test(value):
      raise errors.UserError(
        f'config.{key}={value!r} is out of range: it must be {meaning}'
      )
  last_seed = config.seed + config.num_seeds - 1
  if last_seed > MOST_SEED:
    raise errors.UserError(
      f'config.seed={config.seed} with config.num_seeds={config.num_seeds} '
      f'counts up to {last_seed}: the last seed must be at most {MOST_SEED}'
    )


def ablate(
  config: ml_collections.ConfigDict,
  ablations: Mapping[str, Mapping[str, Any]],
  name: str,
) -> ml_collections.ConfigDict:
  """Applies one ablation: a mapping of dotted keys to values.

  Args:
    config: of the experiment; changed in place.
    ablations: by name.
    name: which.

  Returns:
    The config.

  Raises:
    UserError: no such ablation, or it sets what is no key of the config, or a
      value of another type.
  """
  if name not in ablations:
    raise errors.UserError(
      f'{name!r} is not an ablation of this config: '
      f'{errors.nearest(name, list(ablations))}'
    )
  known = list(flatten(config))
  for key, value in ablations[name].items():
    try:
      check_key(key, known)
      *path, last = key.split('.')
      section = functools.reduce(lambda part, name: part[name], path, config)
      section[last] = value
    except errors.UserError as error:
      raise errors.UserError(f'ablation {name!r}: {error}') from error
    except (TypeError, ValueError) as error:
      raise errors.UserError(
        f'ablation {name!r}: config.{key}={value!r} has the wrong type: {error}'
      ) from error
  return config
