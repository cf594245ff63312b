"""Figures of a tiny run: what they count, what they show, what they refuse."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from etils import epath

from configs import base, digits
from lcjax import errors, types
from lcjax.data import celeba, dataset
from lcjax.evaluation import edit_scores, judging
from lcjax.experiment import (
  build,
  compare,
  edit_figures,
  edits,
  figures,
  fingerprint,
  generate,
  inpainting_figure,
  jobs,
  loaded_run,
  loading,
  movers,
  panels,
  stage,
  trainers,
)

STAGES = (
  'vae', 'classifier', 'second_classifier', 'latent_critics', 'actor_critic',
  'denoiser',
)  # fmt: skip


def tiny():
  config = digits.get_config()
  for name in STAGES:
    config[name].train.update(num_steps=2, steps_per_call=1, batch_size=8)
  for section in (config.vae, config.classifier, config.latent_critics):
    section.hidden_sizes = (8,)
  config.second_classifier.update(conv_channels=(2, 2), head_sizes=())
  config.denoiser.update(width=8, attribute_width=8)
  config.actor_critic.distance_weight = 0.01
  config.actor_critic.more_distance_weights = (0.1,)
  config.latent_critics.inner.max_steps = 1
  config.denoise.num_steps = 2
  config.optimize.max_steps = config.edit.optimize.max_steps = 3
  config.edit.update(
    num_images=40,
    distance_weights=(0.0, 1.0),
    attribute_tolerances=(0.5,),
    edit_times=(0.2, 0.9),
  )
  config.figures.update(
    num_rows=3,
    num_columns=2,
    num_samples=30,
    contour_points=4,
    path_steps=(0, 2),
    answers=3,
  )
  config.mixture.update(unlabelled_components=(1,), narrow=())
  config.inpaint.update(
    num_images=5,
    candidates=4,
    max_steps=2,
    denoiser_num_steps=2,
    classifier_num_steps=1,
  )
  base.validate(config)
  return config


@pytest.fixture(scope='module')
def run(tmp_path_factory, one_device):
  """A job whose trainings are finished, and the run as loaded."""
  job = jobs.Job(tiny(), epath.Path(tmp_path_factory.mktemp('run')))
  trainers.train_all(job, 'classifier', 'second_classifier')
  trainers.train_all(job, 'vae')
  trainers.train_all(job, 'latent_critics', 'actor_critic')
  trainers.train_all(job, 'denoiser')
  return job, loaded_run.LoadedRun(job)


def multi_label(count=6):
  names = ('Bald', 'Male', 'Smiling')
  rng = np.random.default_rng(0)
  return dataset.Dataset(
    np.zeros((count, 2, 2, 1), np.uint8),
    rng.integers(0, 2, (count, 3)).astype(np.float32),
    types.Bits(names),
  )


class TestChanges:
  def test_a_bit_is_flipped_and_alone_counts(self):
    y = np.array([[1, 0, 1], [0, 0, 0]], np.float32)
    asked, mask = types.Bits(('a', 'b', 'c')).change(y, np.array([0, 2]))
    np.testing.assert_array_equal(asked, [[0, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(mask, [[1, 0, 0], [0, 0, 1]])

  def test_a_class_is_asked_for_and_all_count(self):
    y = np.eye(3, dtype=np.float32)[[0, 1]]
    asked, mask = types.Classes(('a', 'b', 'c')).change(y, np.array([2, 0]))
    np.testing.assert_array_equal(asked, np.eye(3)[[2, 0]])
    np.testing.assert_array_equal(mask, np.ones((2, 3)))

  def test_every_other_class_is_drawn_and_never_the_own_one(self):
    y = np.eye(4)[np.arange(400) % 4]
    drawn = types.Classes(tuple('abcd')).draw_changes(y, seed=0)
    pairs = set(zip(np.arange(400) % 4, drawn, strict=True))
    assert pairs == {(i, j) for i in range(4) for j in range(4) if i != j}

  def test_every_bit_is_drawn(self):
    drawn = types.Bits(('a', 'b', 'c')).draw_changes(np.zeros((100, 3)), seed=0)
    assert set(drawn) == {0, 1, 2}


def fake_run(run, data, predicted):
  """A loaded run of other data whose judge says what it is told."""
  made = loaded_run.LoadedRun(run[0])
  made.__dict__['test'] = data
  made.__dict__['bound'] = run[1].bound
  made.__dict__['predict_fn'] = lambda images: (2.0 * predicted - 1.0, None)
  return made


def test_scores_of_edits_by_hand(run):
  # Changed: 0, 0, 1; 0 is added once and removed once, 1 is added.
  y = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32)
  changed = np.array([0, 0, 1])
  asked, mask = multi_label().labels.change(y, changed)
  # The first edit succeeds and flips 2; the others fail; nothing else flips.
  predicted = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 1]], np.float32)
  made = fake_run(run, multi_label(), predicted)
  images = np.zeros((3, 2, 2, 1), np.uint8)
  start = np.zeros((3, 16), np.float32)
  requests = edit_scores.Requests(
    images, y, asked, changed, mask, start, images + 51, before=y
  )
  z = start + made.bound.train.mean_scale
  scores = edits.score(made, requests, z, images + 102)
  assert scores['success'] == pytest.approx(1 / 3)
  np.testing.assert_allclose(scores['success_added'], [1, 0, np.nan])
  np.testing.assert_allclose(scores['success_removed'], [0, np.nan, np.nan])
  np.testing.assert_allclose(scores['leakage_by_attribute'], [0, 0, 1 / 3])
  assert scores['leakage'] == pytest.approx(1 / 9)
  assert scores['z_distance'] == pytest.approx(1.0, rel=1e-5)
  assert scores['pixel_mse_original'] == pytest.approx(0.16)
  assert scores['pixel_mse_reconstruction'] == pytest.approx(0.04)


def test_leakage_of_classes_does_not_apply(run):
  _, made = run
  requests = edits.make_requests(made)
  assert len(requests.y) == 40
  scores = edits.references(made, requests)
  assert 'leakage' not in scores['unchanged']
  assert scores['unchanged']['z_distance'] == 0
  assert scores['unchanged']['pixel_mse_reconstruction'] == 0
  # A random image of the class is right as often as the judge is on it.
  assert scores['random_image']['pixel_mse_original'] > 0.05


def test_black_exactly_where_the_attribute_holds(run):
  _, made = run
  block = edit_figures.picture_block(
    made, 'actor', made.bound.actors['actor'].mover
  )
  assert block.images.shape[:2] == (3, 12)
  np.testing.assert_array_equal(block.images[:, 0], made.test.images[:3])
  black = ~block.images[:, 2:].any(axis=(2, 3, 4))
  np.testing.assert_array_equal(black, made.test.attributes[:3] > 0.5)


def test_the_mask_decides_what_the_optimiser_moves_for(run):
  _, made = run
  config = made.job.config.edit.optimize.copy_and_resolve_references()
  config.realism_weight = 0.0
  mover = movers.make_optimizer(made.bound, config, 'edit.optimize')
  start = np.zeros((2, 16), np.float32)
  y = np.eye(10, dtype=np.float32)[[3, 3]]
  mask = np.ones_like(y)
  mask[1] = 0
  moved = movers.move(mover, start, y, mask)
  assert np.abs(moved.z[0]).max() > 0.05  # three steps of 0.1
  np.testing.assert_array_equal(moved.z[1], start[1])
  np.testing.assert_array_equal(moved.steps, [3, 0])


def test_grid_vectors():
  data = multi_label()
  vectors = panels.grid_vectors((), data)
  assert len(np.unique(vectors, axis=0)) == len(vectors) > 1
  given = panels.grid_vectors(('010', '011'), data)
  np.testing.assert_array_equal(given, [[0, 1, 0], [0, 1, 1]])
  faces = dataset.Dataset(
    np.zeros((1, 2, 2, 3), np.uint8),
    np.zeros((1, 10), np.float32),
    types.Bits(celeba.DEFAULT_ATTRIBUTES),
  )
  found = panels.grid_vectors((), faces)
  assert found.shape == (8, 10)
  assert [int(''.join(str(int(b)) for b in v), 2) for v in found][:2] == [
    0b0010001101,
    0b0001001101,
  ]


@pytest.mark.parametrize(
  ('bits', 'kind', 'said'),
  [
    ('01', types.Bits, 'of 2 bits: give 3 bits'),
    ('011', types.Classes, 'exactly one bit'),
  ],
)
def test_vectors_that_do_not_fit(bits, kind, said):
  data = dataclasses.replace(multi_label(), labels=kind(('a', 'b', 'c')))
  with pytest.raises(errors.UserError, match=said):
    panels.parse_vectors([bits], data)


def test_least_agreement():
  logits = np.array([[0.0, 10.0], [10.0, 10.0]])
  y = np.array([[0.0, 1.0], [0.0, 1.0]])
  np.testing.assert_allclose(
    judging.least_agreement(logits, y, types.Bits(('a', 'b'))),
    [0.5, 4.54e-5],
    rtol=1e-3,
  )
  np.testing.assert_allclose(
    judging.least_agreement(logits, y, types.Classes(('a', 'b'))),
    [1.0, 0.5],
    rtol=1e-3,
  )


def test_the_setting_of_least_error_among_those_that_succeed_is_shown():
  tried = [
    {'success': 0.5, 'pixel_mse_original': 0.01},
    {'success': 0.97, 'pixel_mse_original': 0.08},
    {'success': 0.95, 'pixel_mse_original': 0.07},
  ]
  # What is shown has no part in the choice.
  shown = [{'success': 1.0, 'pixel_mse_original': 0.0}, {}, {'success': 0.1}]
  assert edit_figures.choose(tried, shown) is shown[2]
  assert edit_figures.choose(tried[:1], shown[:1]) is None


def test_each_split_has_its_own_judge(run):
  job, made = run
  to_choose = made.to_choose
  assert to_choose.bound is made.bound
  validation = build.load_data(job, 'validation')
  np.testing.assert_array_equal(to_choose.test.images, validation.images)
  images = made.test.images
  for loaded, which in zip((made, to_choose), stage.JUDGES, strict=True):
    own, _ = loading.load_predict_fn(job, which, made.train)
    np.testing.assert_array_equal(loaded.predict_fn(images)[0], own(images)[0])
  judged = made.predict_fn(images)[0], to_choose.predict_fn(images)[0]
  assert np.abs(judged[0] - judged[1]).max() > 1e-3


def test_the_frontier_chooses_by_the_second_judge_and_reports_by_the_first(
  run, monkeypatch
):
  job, made = run
  validation = build.load_data(job, 'validation')

  def sweep(loaded, requests):
    chooses = (
      loaded.test.images.shape == validation.images.shape
      and (loaded.test.images == validation.images).all()
    )
    own = stage.JUDGES[int(chooses)]
    assert stage.judge_of(loaded.job.config) is own
    scores = edits.references(loaded, requests)['unchanged']
    good, bad = {'success': 0.99}, {'success': 0.1}
    found = [good, bad] if chooses else [bad, good]
    return {
      'actor': [
        scores | one | {'distance_weight': i} for i, one in enumerate(found)
      ]
    }

  monkeypatch.setattr(edit_figures, 'sweep', sweep)
  drawn = edit_figures.identity_frontier(made)
  assert drawn.numbers['chosen']['actor']['distance_weight'] == 0
  assert drawn.numbers['chosen']['actor']['success'] == 0.1
  assert 'actor: success 0.100' in drawn.caption
  assert 'by second_classifier: least MSE at success ≥ 0.95' in drawn.caption


def test_a_run_without_a_second_judge_lacks_only_what_needs_it(
  run, tmp_path, monkeypatch
):
  job, _ = run
  shutil.copytree(job.workdir, tmp_path / 'run')
  shutil.rmtree(tmp_path / 'run' / 'second_classifier')
  # Its network does not even fit the images.
  config = job.config.copy_and_resolve_references()
  config.second_classifier.update(
    conv_channels=(2,) * 4, conv_kernels=(3,) * 4, conv_strides=(2,) * 4
  )
  old = job._replace(config=config, workdir=epath.Path(tmp_path / 'run'))
  generate.generate(old, [('prior', 'actor')], [], [])
  figures.make(old, ['attribute_grid', 'identity_edits'])
  old = old._replace(config=job.config)
  for call in (
    compare.compare_all,
    lambda j: figures.make(j, ['identity_frontier']),
  ):
    with pytest.raises(
      errors.UserError,
      match=r'second_classifier has not been .*launch\.train_classifier',
    ):
      call(old)
  config = job.config.copy_and_resolve_references()
  config.compare.split = 'validation'
  with pytest.raises(errors.UserError, match='second_classifier has not been'):
    figures.make(
      old._replace(config=config, overwrite=True), ['identity_edits']
    )


OF_BITS = 'attribute_pairs', 'sequential_edits'
# Needs another training, and is made in test_alternatives.py.
OF_ALTERNATIVES = ('second_stage',)


@pytest.mark.parametrize(
  'name', [n for n in figures.FIGURES if n not in OF_BITS + OF_ALTERNATIVES]
)
def test_a_figure_is_made_once(run, name, capsys):
  job, _ = run
  figures.make(job, [name])
  assert f'{name}: drawing' in capsys.readouterr().out
  folder = job.workdir / 'figures'
  made = {
    kind: (folder / f'{name}.{kind}').read_bytes()
    for kind in ('png', 'pdf', 'json', 'md')
  }
  assert made['png'].startswith(b'\x89PNG')
  assert made['pdf'].startswith(b'%PDF')
  numbers = json.loads(made['json'])
  assert numbers['numbers']
  assert numbers['caption'].encode() == made['md']
  figures.make(job, [name])
  assert f'{name}: already up to date' in capsys.readouterr().out


def test_figures_of_bits_are_refused_for_classes_by_name(run):
  for name in OF_BITS:
    with pytest.raises(
      errors.UserError,
      match=f'^--figure={name} is for independent .*labels .* are classes',
    ) as caught:
      figures.make(run[0], [name])
    assert '\n' not in str(caught.value)


def test_figures_of_bits_are_left_out_of_all_for_classes(run, capsys):
  job, _ = run
  figures.make(job, [*OF_BITS, 'attribute_grid'], every=True)
  said = capsys.readouterr().out
  for name in OF_BITS:
    assert f'{name}: left out' in said
    assert not (job.workdir / 'figures' / f'{name}.json').exists()
  assert (job.workdir / 'figures' / 'attribute_grid.json').exists()


def test_inpainting_reports_both_movers_beside_what_they_start_from(run):
  job, made = run
  figures.make(job, ['inpainting'])
  text = (job.workdir / 'figures/inpainting.json').read_text()
  found = json.loads(text)['numbers']
  assert (found['num_images'], found['known_rows'], found['answers']) == (
    5,
    4,
    3,
  )
  rows = found['rows']
  assert list(rows) == [
    'reconstruction', 'nearest draw', 'optimizer', 'guided_denoiser',
  ]  # fmt: skip
  assert rows['reconstruction']['known_ratio'] == 1.0
  assert rows['reconstruction']['spread'] is None  # there is one
  for name in list(rows)[1:]:
    scores = rows[name]
    assert scores['spread'] > 0
    assert scores['known_ratio'] == pytest.approx(
      scores['known_mse'] / rows['reconstruction']['known_mse']
    )
    assert scores['kept_ratio'] == pytest.approx(
      scores['label_kept'] / found['classifier_of_known']
    )
    assert scores['spread_ratio'] == pytest.approx(
      scores['spread'] / found['real_spread']
    )
  unknown = made.test.images[:, 4:] / 255.0
  assert found['real_spread'] == pytest.approx(
    unknown.var(axis=0, ddof=1).mean(), rel=1e-4
  )
  moved = rows['optimizer']['known_mse'], rows['guided_denoiser']['known_mse']
  assert len({*moved, rows['nearest draw']['known_mse']}) == 3


def test_errors_of_what_is_known_are_counted_in_those_of_reconstructions(run):
  """The loss, and where it rests, at a latent that is not a reconstruction."""
  job, made = run
  task = inpainting_figure.make_task(made)
  assert task.start.shape == (15, 16)
  other = build.load_data(job, 'validation').images[:5]
  decoded = made.bound.decode(made.bound.encode(other)[0])
  unit = edit_scores.pixel_errors(decoded[:, :4], other[:, :4]).mean()
  assert task.unit == pytest.approx(unit, rel=1e-5)
  _, known = inpainting_figure.make_movers(made, task)['optimizer'].want.parts
  target = task.repeated[0] / 255.0
  x = made.bound.model.decode(task.start[:1])[0]
  error = np.square(x - target)[:4].mean()
  found = known(task.start[0], {'pixels': target})
  assert found.loss == pytest.approx(error / unit, rel=1e-3)
  assert known.tolerance == pytest.approx(job.config.inpaint.error_goal)


def test_holes_of_an_unfinished_run_train_nothing(tmp_path):
  job = jobs.Job(tiny(), epath.Path(tmp_path))
  with pytest.raises(errors.UserError, match='has not been trained'):
    figures.make(job, ['holes'])
  assert not (tmp_path / 'figures').exists()


def test_a_file_that_is_gone_is_made_again_the_same(run):
  job, _ = run
  figures.make(job, ['attribute_grid'])
  path = job.workdir / 'figures' / 'attribute_grid.pdf'
  before = path.read_bytes()
  path.unlink()
  figures.make(job, ['attribute_grid'])
  assert path.read_bytes() == before


def test_frontier_holds_every_actor_and_setting(run):
  job, _ = run
  figures.make(job, ['identity_frontier'])
  found = json.loads(
    (job.workdir / 'figures/identity_frontier.json').read_text()
  )
  points = found['numbers']['points']
  assert [p['distance_weight'] for p in points['actor']] == [0.01, 0.1]
  assert [p['distance_weight'] for p in points['optimizer']] == [0.0, 1.0]
  assert [p['edit_time'] for p in points['guided_denoiser']] == [0.2, 0.9]
  # More noise forgets more of the image.
  moved = [p['z_distance'] for p in points['guided_denoiser']]
  assert moved[0] < moved[1]


def test_the_second_model_of_holes_leaves_the_first_alone(run):
  job, _ = run
  other = panels.comparison_job(job)
  assert other.config.vae.sigma_x == 1.0
  assert job.config.vae.sigma_x == 0.1
  assert other.workdir == job.workdir / 'figures' / 'holes'
  job.config.figures.comparison_sigma_x = 0.1
  try:
    with pytest.raises(errors.UserError, match=r'comparison_sigma_x=0\.1'):
      panels.comparison_job(job)
  finally:
    job.config.figures.comparison_sigma_x = 1.0


def test_edit_settings_invalidate_the_edits_alone(run):
  job, _ = run
  config = job.config.copy_and_resolve_references()
  config.edit.optimize.max_steps = 4
  changed = job._replace(config=config)

  def same(node):
    return fingerprint.follows_from(job, node, 0) == fingerprint.follows_from(
      changed, node, 0
    )

  assert same(stage.COMPARISON)
  assert same(stage.GENERATED)
  assert same(figures.FIGURES['holes'].node)
  assert not same(figures.FIGURES['identity_edits'].node)
  for which in stage.trainings(config):
    assert fingerprint.settings(config, which, 0) == fingerprint.settings(
      job.config, which, 0
    )


def test_a_damaged_result_is_one_line_and_overwrite_makes_it_again(run):
  job, _ = run
  path = job.workdir / 'figures' / 'attribute_grid.json'
  path.parent.mkdir(exist_ok=True)
  for damage in ('{"trainings": ', '{}', '[]'):
    path.write_text(damage)
    with pytest.raises(errors.UserError, match=r'attribute_grid\.json is no'):
      figures.make(job, ['attribute_grid'])
  figures.make(job._replace(overwrite=True), ['attribute_grid'])
  assert json.loads(path.read_text())['numbers']


def test_an_unknown_figure_names_the_nearest():
  assert figures.chosen('all') == list(figures.FIGURES)
  with pytest.raises(errors.UserError, match='did you mean identity_edits'):
    figures.chosen('identity_edit')


def test_a_run_that_is_not_trained_names_the_command(tmp_path):
  job = jobs.Job(tiny(), epath.Path(tmp_path))
  with pytest.raises(errors.UserError, match=r'launch\.train_vae'):
    figures.make(job, ['optimizer_path'])


def test_a_figure_of_two_latents_is_left_out_of_one(run, capsys):
  job, _ = run
  config = job.config.copy_and_resolve_references()
  config.vae.latent_size = 1
  figures.make(job._replace(config=config), ['realism_contours'])
  assert 'skipped, it needs 2 latents' in capsys.readouterr().out
