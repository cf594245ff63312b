"""Training, comparison and generation where attributes are independent."""

import json
import re

import numpy as np
import pytest
from etils import epath

from configs import base
from lcjax import errors, types
from lcjax.experiment import (
  build,
  compare,
  edits,
  figures,
  generate,
  jobs,
  loaded_run,
  loading,
  movers,
  preflight,
  sequential_edits,
  trainers,
)
from lcjax.movers import base as base_movers
from tests.data import fake_celeba

STAGES = (
  'vae', 'classifier', 'second_classifier', 'latent_critics', 'actor_critic',
  'denoiser',
)  # fmt: skip
NAMES = ('Male', 'Smiling', 'Wearing_Hat')


@pytest.fixture(scope='module')
def job(tmp_path_factory, one_device):
  """A job of tiny trainings, all done, on six pictures."""
  data = tmp_path_factory.mktemp('data')
  fake_celeba.write(data)
  config = base.get_config()
  config.data.update(
    name='celeba', dir=str(data), image_size=16, attributes=NAMES
  )
  for section in (config.vae, config.classifier):
    section.update(
      architecture='conv', conv_channels=(4, 6), conv_kernels=(4, 3)
    )
  config.vae.latent_size = 4
  config.classifier.conv_strides = (2, 2)
  config.actor_critic.more_distance_weights = (0.1,)
  for name in STAGES:
    config[name].train.update(num_steps=2, steps_per_call=1, batch_size=8)
  config.latent_critics.inner.max_steps = 1
  config.optimize.max_steps = 2
  config.denoise.num_steps = 2
  config.compare.update(clock_seconds=0.0, feature_steps=1, cas_steps=1)
  config.mixture.unlabelled_components = (1,)
  config.walk.update(
    steps=(1,), start_times=(0.5,), attribute_weights=(2.0, 20.0)
  )
  config.compare.update(num_samples=6, num_neighbours=1, curve_steps=(0, 2))
  config.edit.optimize.max_steps = 2
  config.figures.update(num_samples=30, pair_samples=5)
  config.lock()
  found = jobs.Job(config, epath.Path(tmp_path_factory.mktemp('run')))
  trainers.train_all(found, 'classifier', 'second_classifier')
  trainers.train_all(found, 'vae')
  trainers.train_all(found, 'latent_critics', 'actor_critic')
  trainers.train_all(found, 'denoiser')
  return found


def test_compare_reports_every_attribute(job):
  compare.compare_all(job)
  folder = job.workdir / 'compare'
  report = json.loads((folder / 'metrics.json').read_text())
  assert list(report['rows']) == [
    'real',
    'real_train',
    'reconstruction',
    'prior',
    'mixture',
    'realism_optimizer',
    'realism_denoiser',
    'realism_walk',
    'attribute_gaussian',
    'attribute_mixture',
    'attribute_mixture_kept',
    'actor',
    'actor_kept',
    'actor_lambda_0.1',
    'optimizer',
    'optimizer_kept',
    'actor_then_optimizer',
    'guided_denoiser',
    'guided_denoiser_kept',
    'optimizer_from_mixture',
    'one_step',
    'short_walk',
    'short_walk_kept',
    'varied_walk',
  ]
  assert report['labels'] == 'bits'
  assert set(report['curve'][0]) >= {'macro_f1', 'frechet'}
  assert 'class_mixture' not in report['seconds']  # none was fitted
  assert any('rarest' in note for note in report['notes'])
  # There is a single validation image, so the first candidate was taken.
  assert not (job.workdir / 'chosen/chosen.json').exists()
  for row in ('actor', 'actor_lambda_0.1', 'guided_denoiser', 'short_walk'):
    assert report['rows'][row]['z_distance']['mean'] > 0
  header = (folder / 'report.md').read_text().splitlines()[0]
  assert '| Accuracy | Precision | Recall | F1 | CAS | z distance |' in header
  page = (folder / 'report.html').read_text()
  assert 'attribute_mixture on' in page
  assert len(re.findall('<img[^>]*Samples', page)) == len(report['rows'])


def test_an_own_image_is_cut_as_the_data_are(job, tmp_path):
  test = build.load_data(job, 'test')
  (tmp_path / 'own.jpg').write_bytes(fake_celeba.jpeg(2))  # its first image
  np.savez(tmp_path / 'data.npz', images=test.images[:1])
  found = []
  for name in ('own.jpg', 'data.npz'):
    request = [('encodings', 'none')]
    generate.generate(job, request, ['none'], [str(tmp_path / name)], 'crop')
    with np.load(job.workdir / 'generate' / 'crop.npz') as arrays:
      found.append(arrays['latents'])
  np.testing.assert_array_equal(found[0], found[1])


def test_generate_takes_names_joined_by_plus(job):
  labels = ['Male+Smiling', 'none', 'Wearing_Hat']
  generate.generate(job, [('prior', 'actor_lambda_0.1')], labels, [], 'own')
  with np.load(job.workdir / 'generate' / 'own.npz') as arrays:
    np.testing.assert_array_equal(
      arrays['attributes'][:3], [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    )


def test_some_attributes_change_and_an_edit_is_edited_again(job):
  labels = ['Male=1', 'Smiling=0+Male=1']
  for mover in ('actor', 'optimizer', 'guided_denoiser'):
    generate.generate(job, [('encodings', mover)], labels, [], 'some')
    path = job.workdir / 'generate' / 'some.npz'
    with np.load(path) as arrays:
      np.testing.assert_array_equal(arrays['mask'][:2], [[1, 0, 0], [1, 1, 0]])
      edited = arrays['latents']
    generate.generate(
      job, [('encodings', 'none')], ['Wearing_Hat=1'], [str(path)], 'again'
    )
    with np.load(job.workdir / 'generate' / 'again.npz') as arrays:
      assert len(arrays['starts']) == len(edited)  # every edit is a row


def test_an_actor_is_told_what_d_attr_sees_at_the_start(job):
  """What is not named has no say: the same as asking for what is there."""
  data = build.load_data(job, 'train')
  bound = generate.completing(loading.load_movers(job, 0, data))
  actor, z = bound.actors['actor'].mover, bound.train.mean
  seen = bound.labels.predict(bound.attribute_critic(z))
  mask = np.zeros_like(seen)
  mask[:, 1] = 1.0
  some = np.zeros_like(seen)
  whole = np.where(mask > 0, some, seen)
  found = movers.move(actor, z, some, mask).z
  np.testing.assert_array_equal(found, movers.move(actor, z, whole).z)


def test_a_mistyped_label_fails_before_anything_is_read(job, monkeypatch):
  monkeypatch.setattr(build, 'load_data', None)
  with pytest.raises(errors.UserError, match=r'did you mean Smiling\?'):
    generate.generate(job, [('prior', 'actor')], ['Smilng=1'], [])


def test_figures_of_edits_report_leakage(job):
  figures.make(job, ['identity_edits', 'attribute_grid'])
  folder = job.workdir / 'figures'
  found = json.loads((folder / 'identity_edits.json').read_text())['numbers']
  assert found['labels'] == 'bits'
  for name in ('actor', 'actor_lambda_0.1', 'optimizer', 'guided_denoiser'):
    scores = found['scores'][name]
    assert 0.0 <= scores['leakage'] <= 1.0
    assert len(scores['leakage_by_attribute']) == 3
    assert [row[i] for i, row in enumerate(scores['leakage_by_change'])] == (
      [None] * 3
    )
  assert found['scores']['unchanged']['leakage'] == 0.0
  table = (folder / 'identity_edits.md').read_text()
  assert '| Male |' in table
  assert 'Leakage' in table
  grid = json.loads((folder / 'attribute_grid.json').read_text())['numbers']
  assert all(len(bits) == 3 for bits in grid['vectors'])
  assert list(grid['accuracy']) == ['actor', 'actor_lambda_0.1']


def test_pairs_are_asked_for_by_masks_and_tabled(job, monkeypatch):
  asked = []

  def move(mover, start, y, mask):
    asked.append((y, mask))
    return move_as_it_is(mover, start, y, mask)

  move_as_it_is = movers.move
  monkeypatch.setattr(movers, 'move', move)
  figures.make(job, ['attribute_pairs'])
  text = (job.workdir / 'figures' / 'attribute_pairs.json').read_text()
  found = json.loads(text)['numbers']
  assert found['mover'] == 'short_walk'
  wanted = [(i, j) for i in range(3) for j in range(i, 3)]
  y, mask = (np.concatenate(part) for part in zip(*asked, strict=True))
  np.testing.assert_array_equal(y, mask)  # all else is free
  expected = np.repeat([np.eye(3)[[i, j]].max(axis=0) for i, j in wanted], 5, 0)
  np.testing.assert_array_equal(y, expected)
  pairs = [tuple(pair['attributes']) for pair in found['pairs']]
  assert pairs == [(NAMES[i], NAMES[j]) for i, j in wanted]
  joint, data = np.array(found['joint']), build.load_data(job, 'test')
  np.testing.assert_array_equal(joint, joint.T)
  for (i, j), pair in zip(wanted, found['pairs'], strict=True):
    assert pair['joint'] == joint[i, j] <= min(pair['rates'])
    assert pair['floor'] == found['floor'][i][j]
    both = (data.attributes[:, [i, j]] > 0.5).all(axis=1).mean()
    assert pair['real_labels'] == pytest.approx(both)


def test_turns_ask_for_what_was_added_before_as_well(job, monkeypatch):
  made = loaded_run.LoadedRun(job)
  asked = []

  def move(mover, start, y, mask):
    asked.append((start, y.copy(), mask.copy()))
    return base_movers.Moved(start + 1.0, start)

  monkeypatch.setattr(movers, 'move', move)
  requests = sequential_edits.lacking(edits.make_requests(made), [2, 0])
  turns = sequential_edits.edit_in_turns(made, None, requests, [2, 0])
  np.testing.assert_array_equal(
    asked[0][0], made.bound.encode(requests.images)[0]
  )
  np.testing.assert_array_equal(asked[1][0], made.bound.encode(turns[0])[0])
  for (_, y, mask), columns in zip(asked, ([2], [2, 0]), strict=True):
    np.testing.assert_array_equal(
      mask, np.tile(np.eye(3)[columns].sum(0), (len(y), 1))
    )
    assert (y[:, columns] == 1).all()
    np.testing.assert_array_equal(y[mask == 0], requests.y[mask == 0])


def test_sequential_edits_have_a_row_per_turn_and_mover(job):
  figures.make(job, ['sequential_edits'])
  folder = job.workdir / 'figures'
  found = json.loads((folder / 'sequential_edits.json').read_text())['numbers']
  assert found['sequence'] == list(NAMES)  # the first of what there is
  assert 'optimizer' in found['turns']
  for turns in found['turns'].values():
    assert len(turns) == 3
    assert turns[0]['earlier'] is None  # there is none before
    assert turns[2]['leakage'] is None  # none is left
  assert (
    'optimizer: Wearing Hat' in (folder / 'sequential_edits.md').read_text()
  )


@pytest.mark.parametrize(
  ('names', 'said'),
  [
    (('Smilng',), 'did you mean Smiling'),
    (('Male', 'Male'), "names 'Male' twice"),
  ],
)
def test_a_wrong_sequence_is_one_line(names, said):
  with pytest.raises(errors.UserError, match=said) as caught:
    sequential_edits.find_sequence(names, types.Bits(NAMES))
  assert '\n' not in str(caught.value)


def test_a_mixture_of_classes_is_refused_before_any_training(job):
  config = job.config.copy_and_resolve_references()
  config.denoise.mixture_above = 0.4
  with pytest.raises(errors.UserError, match=r'above=0\.4 needs classes'):
    preflight.check_pipeline(job._replace(config=config))
