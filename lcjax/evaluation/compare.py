"""`lcjax.compare`: movers of a user, judged next to real data and baselines."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import threadpoolctl
import tqdm

from lcjax import errors, types
from lcjax.constraints import base as constraints
from lcjax.evaluation import (
  baselines,
  comparison,
  features,
  glossary,
  judges,
  judging,
  moving,
  reports,
  verdicts,
)
from lcjax.evaluation import terms as terms_lib
from lcjax.generators import latent_model
from lcjax.latent import encodings
from lcjax.movers import starts
from lcjax.movers.base import Moved

# (start [B, Z], target, rows [B], key) -> latents as `Moved`, or samples
# [B, ...] of a row that needs no latents.
Mover = Callable[
  [np.ndarray, constraints.Target, np.ndarray, jax.Array], Moved | np.ndarray
]
Samples = np.ndarray | tuple[np.ndarray, np.ndarray | None]

_BATCH_SIZE = 1024
_GRID_ROWS = 4
# Products in a search for the nearest training sample. With fewer, BLAS threads
# cost more than they save: on busy cores, forty times as much.
_SMALL = 1e9
# Keys of the prior's draws and of movers; far from those of rejection rounds.
_START_KEY, _MOVE_KEY = 1000, 1001
_TAKEN = *glossary.REFERENCE_ROWS, *glossary.BASELINE_ROWS
_DESCRIPTION = (
  'Samples of a generative model, moved in its latent space by the movers. All '
  'start from the same draws of the prior and get the same requested labels; '
  'one judge scores all rows.'
)


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The table of `compare`.

  Attributes:
    rows: row -> metric -> {'mean', 'std'} over seeds; with one seed, std is
      None, and 'error' is the standard error over images of what has one.
    runs: seed -> row -> metric -> value.
    samples: the first seed's rows: samples (`images`), requested `attributes`
      and `latents`.
    report: everything that the report says, as `reports.render_html` takes it.
  """

  rows: dict[str, Any]
  runs: dict[int, dict[str, judging.Scores]]
  samples: dict[str, judging.Row]
  report: dict[str, Any]

  @property
  def sentences(self) -> list[str]:
    """How every mover compares with its baseline, and what is not finite."""
    return comparison.sentences(self.report)

  def markdown(self) -> str:
    """A short table, then one with all columns."""
    return comparison.markdown(self.report)

  def write(self, folder: str | os.PathLike[str]) -> None:
    """Writes report.html, report.md and metrics.json; see docs/library.md.

    Raises:
      UserError: the folder cannot be written to.
    """
    path = pathlib.Path(folder)
    files = {
      'report.html': comparison.html(
        self.report, _pictures(self.samples), _GRID_ROWS
      ),
      'report.md': self.markdown(),
      'metrics.json': reports.to_json(self.report),
    }
    try:
      path.mkdir(parents=True, exist_ok=True)
      for name, text in files.items():
        (path / name).write_text(text, encoding='utf-8')
    except OSError as error:
      raise errors.UserError(f'folder: {error}') from error


@dataclasses.dataclass(frozen=True)
class _Real:
  """Real samples, as `judging.Data`."""

  images: np.ndarray
  attributes: np.ndarray
  labels: types.Labels | None

  def __len__(self) -> int:
    return len(self.images)


def compare(
  model: latent_model.LatentModel,
  train: Samples,
  test: Samples,
  movers: Mapping[str, Mover] | Callable[[int], Mapping[str, Mover]],
  *,
  data: latent_model.LatentData | None = None,
  judge: judging.PredictFn | None = None,
  second_judge: judging.PredictFn | None = None,
  accept: constraints.Constraint | None = None,
  want: constraints.Constraint | None = None,
  num_samples: int | None = None,
  tries: int = 6,
  num_components: int | Sequence[int] = starts.NUM_COMPONENTS,
  num_neighbours: int = 5,
  clock_seconds: float = moving.CLOCK_SECONDS,
  steps: judging.Steps = judging.STEPS,
  seeds: Sequence[int] = (0,),
  folder: str | os.PathLike[str] | None = None,
  progress: bool = True,
) -> Comparison:
  """Judges movers next to real data, the prior and fitted baselines.

  All movers get the same starts, draws of the prior, and the same target: the
  labels of test rows, as {'attributes': y [B, Y]}; {} without labels.

  Args:
    model: decodes latents; with an encoder, there are rows of reconstructions
      and of baselines fitted to encodings.
    train: samples [N, ...], floats or integers of any range, as the model
      decodes; or (samples, labels), with labels as `encode` takes them.
    test: held-out ones, as `train`.
    movers: by name, `(start [B, Z], target, rows [B], key) -> Moved`, called in
      batches. One that returns samples [B, ...] instead is a row of its own:
      another generator, say. Or a function of a seed that gives such a dict, to
      train movers anew for every seed.
    data: what baselines are fitted to: by default `train`, encoded. Without an
      encoder, `label_prior` gives some.
    judge: samples [B, ...] -> (logits [B, Y], features [B, F]). By default a
      small classifier, trained on `train`; without labels, features are
      principal components.
    second_judge: as `judge`; how often both decide the same is a column. By
      default random trees, fitted to `train`; none without labels.
    accept: a constraint. For the mixture with labels and every mover of
      latents, there is a row NAME_kept, too: made again from new noise, until
      it is met.
    want: a constraint whose terms all rows are judged by: attributes by the
      judge, others by their own `check` of decoded samples, such as the rule
      that `learn_rule` has learned; the notes say who judges. Real samples that
      satisfy it are a row, `real_satisfying`.
    tries: of those rows, at most.
    num_samples: of every row but those of real data; len(test) if None.
    num_components: of the mixtures, for every class; several to choose from by
      the likelihood of held-out encodings.
    num_neighbours: k of precision, recall, density and coverage.
    clock_seconds: that every row is timed for, at least; 0: one pass.
    steps: of the networks that the comparison trains for itself, as
      `lcjax.evaluation.judging.Steps`.
    seeds: of draws and fits; means, spreads and intervals are over them, with
      one seed over images.
    folder: where to write the report; None writes nothing.
    progress: whether to show bars.

  Raises:
    UserError: an argument does not fit the others, or a mover or the judge
      returns something else than it should.
  """
  real_train, real_test = _real(train, test, data)
  labels = real_test.labels
  count = len(real_test) if num_samples is None else num_samples
  _check_numbers(real_train, real_test, count, num_neighbours, seeds)
  if tries < 1:
    raise errors.UserError(f'tries={tries} must be at least 1')
  decode = _checked_decode(model, real_test.images)
  encode = None if model.encode_fn is None else model.encode
  if data is None and encode is not None:
    found = encodings.Encodings(
      *model.encode(real_train.images), real_train.attributes
    )
    data = latent_model.LatentData(found, labels, draw_prior=model.own_prior)
  _check_fit(data)
  if not callable(movers):
    _check_names(movers)
  if judge is not None:
    judged_by = judges.check(judge, labels)
  elif labels is not None:
    judged_by = judges.train_classifier(
      real_train.images, real_train.attributes, labels, progress
    )
  else:
    judged_by = judges.fit_components(real_train.images)
  second = None
  if labels is not None and second_judge is not None:
    second = judges.check(second_judge, labels, 'second_judge')
  elif labels is not None:
    second = judges.fit_trees(real_train.images, real_train.attributes, labels)
  elif second_judge is not None:
    raise errors.UserError(
      'second_judge: without labels there are no decisions to compare: leave '
      'it out'
    )
  the_judge = judging.make_judge(
    judged_by.predict_fn,
    real_train,
    real_test,
    judged_by.seconds,
    None if second is None else second.predict_fn,
    steps,
    progress,
  )
  for seen in (the_judge.train_features, the_judge.test_features):
    if not np.isfinite(seen).all():
      raise errors.UserError(
        'judge: its features of real samples have a NaN or an infinity'
      )
  real = baselines.real_rows(the_judge, decode, encode)
  y = judging.requested_attributes(real_test, count)
  requested = None if labels is None else y
  target = {} if labels is None else {'attributes': y}
  rejection = None
  if accept is not None:
    references = dict.fromkeys(accept.references())
    constraints.check_target(accept, references | target)
    rejection = moving.Rejection(accept, tries, None)
  terms = None if want is None else terms_lib.Terms(want)
  small = count * real_train.images.size < _SMALL
  threads = 1 if small else None
  draw = starts.prior_start(model)
  described: dict[str, str] = {}

  def make_rows(seed: int) -> dict[str, judging.Row]:
    start_key, move_key = (
      jax.random.fold_in(jax.random.key(seed), number)
      for number in (_START_KEY, _MOVE_KEY)
    )
    start = draw({}, np.arange(count), start_key)
    rows = real | {'prior': judging.Row(decode(start), requested, start, {})}

    def make(name: str, contender: moving.Contender) -> bool:
      bar.set_postfix_str(name)
      labelled = name != 'mixture'
      rows[name], found = moving.make_row(
        contender,
        decode,
        start,
        target if labelled else {},
        requested if labelled else None,
        move_key,
        _BATCH_SIZE,
        clock_seconds,
      )
      return isinstance(found, Moved)

    own = movers(seed) if callable(movers) else movers
    _check_names(own)
    for name in own:
      kept = f'{name}{glossary.KEPT}'
      if rejection and kept in own:
        raise errors.UserError(
          f'movers: {kept!r} is the row of {name!r} with rejection: choose '
          'another name'
        )
    baseline = glossary.baseline(None if labels is None else labels.kind)
    contenders = _baselines(data, num_components, seed)
    contenders |= _contenders(own, data, real_test.images, count)
    for name, contender in contenders.items():
      moves = make(name, contender)
      if name in own:
        described[name] = (
          'The draws of the prior, moved by the mover of this name.'
          if moves
          else 'Samples that the function of this name drew by itself.'
        )
      kept = f'{name}{glossary.KEPT}'
      if rejection and moves and (name in own or name == baseline):
        make(kept, rejection.of(contender, draw))
        described[kept] = (
          f'{name}, each row made again from new noise until `accept` is met, '
          f'up to {tries} tries.'
        )
    return rows

  runs: dict[int, dict[str, judging.Scores]] = {}
  standard_errors: list[verdicts.Errors] = []
  samples: dict[str, judging.Row] = {}
  with tqdm.tqdm(seeds, desc='compare', disable=not progress) as bar:
    for seed in bar:
      rows = make_rows(seed)
      with threadpoolctl.threadpool_limits(threads):
        runs[seed], known, rows = comparison.judge_seed(
          the_judge, rows, num_neighbours, terms
        )
      standard_errors.append(known)
      samples = samples or rows
  notes = comparison.notes(
    the_judge,
    count,
    num_neighbours,
    'test',
    judging.common_rows(samples),
    judged_by.features,
  )
  if terms is not None:
    real_ones = samples.get(glossary.REAL_SATISFYING)
    notes += comparison.term_notes(
      terms.judged_by(), 0 if real_ones is None else len(real_ones.images)
    )
  trained = 'movers, ' if callable(movers) else ''
  notes.append(
    f'Seeds differ in {trained}draws and fits of baselines; they share the '
    'model and the judge.'
  )
  report = {
    'title': 'Comparison of movers',
    'description': _DESCRIPTION,
    **comparison.summarise(
      list(runs.values()), standard_errors, list(runs), labels
    ),
    'row_descriptions': described,
    'seconds': ({'judge': judged_by.seconds} if judge is None else {})
    | {'second_features': the_judge.second.space.seconds},
    'hardware': comparison.hardware(),
    'versions': comparison.versions(),
    'notes': notes,
  }
  table = Comparison(report['rows'], runs, samples, report)
  if folder is not None:
    table.write(folder)
  return table


def _real(
  train: Samples, test: Samples, data: latent_model.LatentData | None
) -> tuple[_Real, _Real]:
  """Checks real samples and their labels; test rows are shuffled.

  The first rows are requested, and used by metrics that depend on the number
  of rows: they must not be sorted.
  """
  parts = {}
  for name, given in (('train', train), ('test', test)):
    x, y = given if isinstance(given, tuple) else (given, None)
    x = np.asarray(x)
    if x.ndim < 2 or not len(x) or x.dtype.kind not in 'uif':
      raise errors.UserError(
        f'{name}: samples are {x.dtype} {x.shape}, they must be numbers '
        '[N, ...] with N at least 1'
      )
    if not np.isfinite(x).all():
      raise errors.UserError(f'{name}: a sample has a NaN or an infinity')
    parts[name] = x, y
  (x, y), (test_x, test_y) = parts['train'], parts['test']
  if x.shape[1:] != test_x.shape[1:] or x.dtype.kind != test_x.dtype.kind:
    raise errors.UserError(
      f'test: samples are {test_x.dtype} {test_x.shape[1:]}, in train they are '
      f'{x.dtype} {x.shape[1:]}'
    )
  if (y is None) != (test_y is None):
    raise errors.UserError(
      'test: give both train and test as (samples, labels), or neither'
    )
  if data is None:
    labels = latent_model.find_labels('train: labels', y, len(x), None)[1]
  else:
    labels = data.labels
  if data is not None and (labels is None) != (y is None):
    lacks, has = ('data', 'train') if labels is None else ('train', 'data')
    raise errors.UserError(f'{lacks}: there are no labels, but {has} has some')
  order = np.random.default_rng(0).permutation(len(test_x))
  real = _Real(x, _attributes('train', y, len(x), labels), labels)
  attributes = _attributes('test', test_y, len(test_x), labels)
  return real, _Real(test_x[order], attributes[order], labels)


def _attributes(
  name: str, y: np.ndarray | None, num_rows: int, labels: types.Labels | None
) -> np.ndarray:
  """Labels [N, Y] of a split, of the kind and number that others have."""
  if y is None or labels is None:
    return np.zeros((num_rows, 0), np.float32)
  what = f'{name}: labels'
  found = latent_model.label_vectors(what, y, num_rows, len(labels))
  if found.shape[1] != len(labels):
    raise errors.UserError(
      f'{what}: there are {found.shape[1]} attributes instead of {len(labels)}'
    )
  if isinstance(labels, types.Classes) and not (found.sum(axis=1) == 1).all():
    raise errors.UserError(f'{what}: a row has not exactly one class')
  return found


def _check_numbers(
  train: _Real,
  test: _Real,
  num_samples: int,
  num_neighbours: int,
  seeds: Sequence[int],
) -> None:
  """Raises UserError for numbers that no metric could be computed with."""
  counts = {'test': len(test), 'train': len(train), 'num_samples': num_samples}
  least = min(counts, key=lambda name: counts[name])
  if not 0 < num_neighbours < counts[least]:
    raise errors.UserError(
      f'num_neighbours={num_neighbours} must be at least 1 and less than the '
      f'{counts[least]} rows of {least}'
    )
  if not len(seeds) or len(set(seeds)) < len(seeds):
    raise errors.UserError(
      f'seeds: {list(seeds)} must be one or more, all different'
    )


def _check_names(movers: Mapping[str, Mover]) -> None:
  for name, mover in movers.items():
    if name in _TAKEN:
      raise errors.UserError(
        f'movers: {name!r} is the name of a row that is always there: choose '
        'another'
      )
    if not callable(mover):
      raise errors.UserError(
        f'movers[{name!r}]: {type(mover).__name__} is not a function (start, '
        'target, rows, key)'
      )


def _check_fit(data: latent_model.LatentData | None) -> None:
  """Raises UserError if baselines cannot be fitted."""
  if data is None:
    return
  labels = data.labels
  if len(data.encodings.mean) < 2:
    raise errors.UserError('data: a mixture needs at least two rows')
  if isinstance(labels, types.Classes):
    counts = data.encodings.attributes.sum(axis=0)
    if counts.min() < 2:
      rarest = labels.names[int(np.argmin(counts))]
      raise errors.UserError(
        f'data: the class {rarest!r} has {counts.min():g} rows, a Gaussian '
        'needs at least 2'
      )


def _baselines(
  data: latent_model.LatentData | None,
  num_components: int | Sequence[int],
  seed: int,
) -> dict[str, moving.Contender]:
  """Mixtures of encoded data, by row; none without data."""
  if data is None:
    return {}
  fitted = baselines.fit_unlabelled(data, num_components, seed)
  found = {'mixture': baselines.contender(fitted)}
  if data.labels is not None:
    found |= baselines.labelled(data, num_components, seed)
  return found


def _checked_decode(
  model: latent_model.LatentModel, real: np.ndarray
) -> moving.Decode:
  """The model's decoder; UserError unless its samples are like the real ones.

  Distances to training samples need the same range and kind of both.
  """
  some = model.decode(model.draw_prior(np.arange(3), jax.random.key(0)))
  if some.shape[1:] != real.shape[1:] or some.dtype.kind != real.dtype.kind:
    raise errors.UserError(
      f'model: it decodes to {some.dtype} {some.shape[1:]}, but train holds '
      f'{real.dtype} {real.shape[1:]}: they must be alike, also in range'
    )
  return model.decode


def _contenders(
  movers: Mapping[str, Mover],
  data: latent_model.LatentData | None,
  real: np.ndarray,
  num_rows: int,
) -> dict[str, moving.Contender]:
  """Movers called in batches, with checks of what comes back."""
  size = min(_BATCH_SIZE, num_rows)  # also when fewer rows are tried again
  scale = None
  if data is not None and not data.from_prior:
    scale = data.encodings.mean_scale

  def checked(name: str, mover: Mover) -> moving.Contender:
    def move(
      start: np.ndarray, target: Any, rows: np.ndarray, key: jax.Array
    ) -> Any:
      def move_part(
        start: np.ndarray, target: Any, rows: np.ndarray
      ) -> Moved | np.ndarray:
        found = mover(start, target, rows, key)
        return _checked(f'movers[{name!r}]', found, start.shape, real)

      return encodings.in_batches(
        move_part, start, target, rows, batch_size=size, one_shape=True
      )

    return moving.Contender(move, {}, scale)

  return {name: checked(name, mover) for name, mover in movers.items()}


def _checked(
  name: str, found: Any, shape: tuple[int, ...], real: np.ndarray
) -> Moved | np.ndarray:
  """Raises UserError unless a mover returned finite arrays of the right shape.

  Args:
    name: of the mover, in errors.
    found: what it returned.
    shape: (B, Z).
    real: [N, ...] samples that its own ones must be like.
  """
  if isinstance(found, Moved):
    for field, array in found._asdict().items():
      wanted = shape if field in ('z', 'start') else shape[:1]
      for leaf in jax.tree.leaves(array):
        if np.shape(leaf) != wanted:
          raise errors.UserError(
            f'{name}: {field} has the shape {np.shape(leaf)}, it must be '
            f'{wanted}'
          )
    values = np.concatenate([found.z, found.start], axis=1)
  else:
    values, wanted = np.asarray(found), (shape[0], *real.shape[1:])
    if values.shape != wanted or values.dtype.kind != real.dtype.kind:
      raise errors.UserError(
        f'{name}: it returns {values.dtype} {values.shape}; give lcjax.Moved '
        f'with z {shape}, or samples {real.dtype} {wanted}'
      )
  bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
  if bad.any():
    raise errors.UserError(
      f'{name}: row {np.flatnonzero(bad)[0]} has a NaN or an infinity'
    )
  return found


def _pictures(rows: Mapping[str, judging.Row]) -> dict[str, judging.Row]:
  """Rows as uint8 pictures [N, H, W, C]; none if samples are not like that.

  Floats are scaled from the range of real samples.
  """
  real = rows[glossary.REAL].images
  if not features.are_pictures(real):
    return {}
  low, high = float(real.min()), float(real.max())
  found = {}
  for name, row in rows.items():
    x = row.images if real.ndim == 4 else row.images[..., None]
    if x.dtype != np.uint8:
      unit = np.clip((x - low) / (high - low or 1.0), 0.0, 1.0)
      x = np.round(255.0 * unit).astype(np.uint8)
    found[name] = row._replace(images=x)
  return found
