"""The nodes of an experiment: its trainings and results, and what they read."""

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import ml_collections
from etils import epath

from lcjax.evaluation import glossary
from lcjax.experiment import external, jobs
from lcjax.training import metrics_log

HELD_OUT = 'config.compare.split'  # instead of the name of a split


@dataclasses.dataclass(frozen=True)
class Node:
  """What a training, a fit, a comparison or a figure reads.

  Attributes:
    sections: config sections that its result depends on; those of `unused` are
      none of them.
    splits: of the data, that its result depends on.
    labels: whether it reads attributes as well as images.
    needs: config sections of the trainings whose parameters its fingerprint
      includes. Trainings include the config of the model instead.
    changes: (dotted key, value) pairs that override the config's values.
  """

  sections: tuple[str, ...]
  splits: tuple[str, ...] = ('train', 'validation')
  labels: bool = True
  needs: tuple[str, ...] = ()
  changes: tuple[tuple[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage(Node):
  """Describes a training.

  Attributes:
    name: also the name of its folder.
    launcher: the module of `launch` that runs it.
    shown: metrics in the progress bar.
  """

  name: str
  launcher: str
  shown: tuple[str, ...]

  @property
  def section(self) -> str:
    """The config section with its own settings."""
    return self.sections[-1]


# Sections of the model and its latents, of any kind; `model_sections` has those
# of an experiment's kind.
GENERATOR = 'generator', 'vae', 'gan', 'two_stage', 'aae', 'labeller'
VAE = Stage(
  ('data', 'vae'),
  labels=False,
  name='vae',
  launcher='train_vae',
  shown=('train/elbo_nats', 'train/kl_nats', 'validation/elbo_nats'),
)
GAN = Stage(
  ('data', 'gan'),
  labels=False,
  name='gan',
  launcher='train_models',
  shown=('train/generator_score', 'train/diversity', 'validation/diversity'),
)
TWO_STAGE = Stage(
  ('data', 'vae', 'two_stage'),
  labels=False,
  name='two_stage',
  launcher='train_models',
  shown=('train/elbo_nats', 'train/gamma', 'validation/elbo_nats'),
)
AAE = Stage(
  ('data', 'aae'),
  labels=False,
  name='aae',
  launcher='train_models',
  shown=('train/pixel_mse', 'validation/pixel_mse', 'validation/match_mmd'),
)
CLASSIFIER = Stage(
  ('data', 'classifier'),
  name='classifier',
  launcher='train_classifier',
  shown=('train/loss', 'validation/accuracy'),
)
SECOND_CLASSIFIER = dataclasses.replace(
  CLASSIFIER,
  sections=('data', 'second_classifier'),
  name='second_classifier',
)
JUDGES = CLASSIFIER, SECOND_CLASSIFIER
# Labels decoded draws of the prior; never a judge.
LABELLER = dataclasses.replace(
  CLASSIFIER, sections=('data', 'labeller'), name='labeller'
)
CLASSIFIERS = *JUDGES, LABELLER
# What trains the generative model, by `config.generator.kind`, in order.
MODELS: dict[str, tuple[Stage, ...]] = {
  'vae': (VAE,),
  'external': (),
  'gan': (GAN,),
  'two_stage': (VAE, TWO_STAGE),
  'aae': (AAE,),
}
CONDITIONAL_VAE = Stage(
  ('data', 'conditional_vae'),
  name='conditional_vae',
  launcher='train_models',
  shown=('train/elbo_nats', 'train/kl_nats', 'validation/elbo_nats'),
)
CONDITIONAL_GAN = Stage(
  ('data', 'conditional_gan'),
  name='conditional_gan',
  launcher='train_models',
  shown=('train/diversity', 'validation/joint_frechet'),
)
GANS = GAN, CONDITIONAL_GAN  # trained alike
# What trains a row of `config.alternatives`, by its name.
ALTERNATIVES: dict[str, Stage] = {
  'gan': GAN,
  'two_stage': TWO_STAGE,
  'aae': AAE,
  'conditional_vae': CONDITIONAL_VAE,
  'conditional_gan': CONDITIONAL_GAN,
}
# All that learn a model of images, or are trained on one before the critics.
MODEL_STAGES = tuple(
  dict.fromkeys(
    (*(one for some in MODELS.values() for one in some), *ALTERNATIVES.values())
  )
)
# The encodings, or labelled draws of the prior, that trainings are of.
LATENTS = Node(('data', *GENERATOR))
LATENT_CRITICS = Stage(
  ('data', *GENERATOR, 'latent_critics'),
  name='latent_critics',
  launcher='train_actor_critic',
  shown=('train/attribute_accuracy', 'train/discriminator_score'),
)
ACTOR_CRITIC = Stage(
  ('data', *GENERATOR, 'actor_critic'),
  name='actor_critic',
  launcher='train_actor_critic',
  shown=('train/critic_loss', 'train/actor_loss', 'train/generator_score'),
)
DENOISER = Stage(
  ('data', *GENERATOR, 'denoiser'),
  name='denoiser',
  launcher='train_denoiser',
  shown=('train/velocity_mse', 'train/attribute_accuracy'),
)
# What is learned of a rule; see `train_rules` for the rule itself.
RULE = Node(('data', *GENERATOR), ('train',), labels=False, needs=GENERATOR)
CLASS_MIXTURE = Node(
  ('data', *GENERATOR, 'mixture'), ('train',), needs=GENERATOR
)
# What is chosen on the validation split, by the second judge.
_CHOSEN_BY = SECOND_CLASSIFIER.section
MIXTURES = Node(
  ('data', *GENERATOR, 'mixture', _CHOSEN_BY), needs=(*GENERATOR, _CHOSEN_BY)
)
_WALKED = *GENERATOR, 'latent_critics', 'denoiser', _CHOSEN_BY
WALKS = Node(
  # One of the walks is chosen by what rejection sampling keeps.
  ('data', *_WALKED, 'mixture', 'walk', 'retry', 'constraints', 'want'),
  needs=_WALKED,
)
# What results read: the second judge has no part in those on the test split.
TRAINED = (
  *GENERATOR, 'classifier', 'latent_critics', 'actor_critic', 'denoiser',
)  # fmt: skip


_MOVERS = (
  'optimize', 'optimize_from_mixture', 'denoise', 'walk', 'retry', 'mixture',
  'starts', 'movers', 'constraints', 'want', 'invert',
)  # fmt: skip


def result(*own: str, both_judges: bool = False) -> Node:
  """A result of the trainings.

  Args:
    *own: sections that only results read.
    both_judges: whether it needs the second judge on the test split, too.
  """
  second = (SECOND_CLASSIFIER.section,) if both_judges else ()
  trained = *TRAINED, *second
  held_out = ('validation', HELD_OUT) if 'compare' in own else ('test',)
  return Node(
    ('data', *trained, *_MOVERS, *own),
    ('train', *held_out),
    needs=trained,
  )


# Sections of which an experiment has some, by the kind of its model.
_OF_MODELS = (
  *GENERATOR,
  'invert',
  *(one.section for one in MODEL_STAGES),
)

GENERATED = result('generate')
COMPARISON = result('compare', 'alternatives', both_judges=True)


def root_of(workdir: epath.Path, replicate: int) -> epath.Path:
  """WORKDIR for replicate 0, else WORKDIR/seeds/REPLICATE."""
  return workdir if replicate == 0 else workdir / 'seeds' / str(replicate)


def folder_of(workdir: epath.Path, stage: Stage, replicate: int) -> epath.Path:
  """The folder of one replicate's training."""
  return root_of(workdir, replicate) / stage.name


def actors(config: ml_collections.ConfigDict) -> dict[str, Stage]:
  """The actors' trainings by the name of their mover, the main actor first."""
  further = {
    f'{glossary.FURTHER_ACTOR}{weight:g}': dataclasses.replace(
      ACTOR_CRITIC,
      name=f'{ACTOR_CRITIC.name}_lambda_{weight:g}',
      changes=(('actor_critic.distance_weight', float(weight)),),
    )
    for weight in config.actor_critic.more_distance_weights
  }
  return {'actor': ACTOR_CRITIC, **further}


def distance_weights(config: ml_collections.ConfigDict) -> dict[str, float]:
  """The distance weight in the loss of each of `actors`."""
  return {
    name: own_config(config, which).actor_critic.distance_weight
    for name, which in actors(config).items()
  }


def judge_of(config: ml_collections.ConfigDict) -> Stage:
  """The judge of `config.compare.split`.

  What is chosen on the validation split is never chosen by the judge that
  reports on the test split.
  """
  return JUDGES[config.compare.split == 'validation']


def judged(config: ml_collections.ConfigDict, node: Node) -> Node:
  """The node with `judge_of` among what it reads, and the split's name."""
  if HELD_OUT not in node.splits:
    return node
  split, section = config.compare.split, judge_of(config).section
  return dataclasses.replace(
    node,
    splits=tuple(split if s == HELD_OUT else s for s in node.splits),
    sections=tuple(dict.fromkeys((*node.sections, section))),
    needs=tuple(dict.fromkeys((*node.needs, section))),
  )


def trainings(
  config: ml_collections.ConfigDict, sections: Collection[str] | None = None
) -> tuple[Stage, ...]:
  """The trainings of an experiment, all or those of some config sections."""
  found = (
    *MODEL_STAGES,
    *CLASSIFIERS,
    LATENT_CRITICS,
    *actors(config).values(),
    DENOISER,
  )
  of_model = (*MODEL_STAGES, LABELLER)
  used = {*model_sections(config), *alternative_sections(config)}
  return tuple(
    one
    for one in found
    if (one not in of_model or one.section in used)
    and (sections is None or one.section in sections)
  )


def model_sections(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """The config sections that the model and its latents follow from."""
  kind = config.generator.kind
  # The VAE's is the default; other kinds are told by their name, too.
  own = () if kind == 'vae' else ('generator',)
  trained = tuple(one.section for one in MODELS[kind])
  drawn = ('labeller', 'invert') if external.from_prior(config) else ()
  return *own, *trained, *drawn


def alternative_sections(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """The config sections of the trainings of `config.alternatives`."""
  return tuple(ALTERNATIVES[name].section for name in config.alternatives)


def read_sections(
  config: ml_collections.ConfigDict, node: Node, names: Sequence[str]
) -> tuple[str, ...]:
  """Of a node's `sections` or `needs`, those that this experiment has.

  Sections of models of another kind are left out, and the comparison has those
  of the alternatives.
  """
  if 'generator' not in node.sections:
    return tuple(names)
  used = model_sections(config)
  found = [name for name in names if name not in _OF_MODELS or name in used]
  if 'alternatives' in node.sections:
    found += alternative_sections(config)
  return tuple(dict.fromkeys(found))


def replicate_of(which: Stage, replicate: int) -> int:
  """Whose training a replicate uses: all share the classifiers of the first."""
  return 0 if which in CLASSIFIERS else replicate


def replicates(config: ml_collections.ConfigDict, which: Stage) -> range:
  """The replicates that a training is run for."""
  return range(1 if which in CLASSIFIERS else config.num_seeds)


def with_values(
  config: ml_collections.ConfigDict, values: Mapping[str, Any]
) -> ml_collections.ConfigDict:
  """Copies the config and sets values, maybe tracers, by dotted key."""
  own = config.copy_and_resolve_references()
  with own.unlocked(), own.ignore_type():
    for key, value in values.items():
      *path, last = key.split('.')
      functools.reduce(lambda part, name: part[name], path, own)[last] = value
  return own


def own_config(
  config: ml_collections.ConfigDict, node: Node
) -> ml_collections.ConfigDict:
  """The config with a node's changes applied."""
  return with_values(config, dict(node.changes)) if node.changes else config


def curves(job: jobs.Job) -> dict[str, list[dict[str, Any]]]:
  """Logged metrics of the first replicate's trainings, by stage name."""
  return {
    stage.name: metrics_log.read(folder_of(job.workdir, stage, 0))
    for stage in trainings(job.config)
  }
