"""States of hand-made curves, and what is measured of known rows."""

import numpy as np
import pytest

from lcjax.training import watch

STEPS = np.arange(50, 2050, 50)


def records(won=0.45, right=0.55, varied=0.9, gap=0.02, steps=STEPS):
  """A log: numbers, or functions of the share of the training that is done."""

  def at(value, step):
    done = step / steps[-1]
    return float(value(done) if callable(value) else value)

  lines = []
  for step in map(int, steps):
    lines += [
      {
        'step': step,
        'train/generator_score': at(won, step),
        'train/discriminator_score': at(right, step),
        'train/critic_grad_norm': 1.25,
        'train/mover_grad_norm': 0.5,
      },
      {
        'step': step,
        'validation/generator_score': 0.01,  # not read: training rows are known
        'validation/discriminator_score': 0.99,
        'validation/diversity': 0.95,
        'validation/label_diversity': at(varied, step),
        'validation/gap': at(gap, step),
      },
    ]
  return lines


def wave(low, high, periods):
  return lambda done: (
    (low + high) / 2 + (high - low) / 2 * np.sin(2 * np.pi * periods * done)
  )


@pytest.mark.parametrize(
  ('state', 'curves'),
  [
    (watch.HEALTHY, {}),
    (watch.HEALTHY, {'right': 0.79, 'won': 0.2}),  # the critic leads
    (watch.HEALTHY, {'varied': 0.27}),  # narrow
    (watch.HEALTHY, {'right': 0.5, 'won': 0.5, 'gap': 0.2}),
    # The critic sees that means are apart: the mover is on its way.
    (watch.CRITIC_DOMINATES, {'right': 0.65, 'won': 0.35, 'gap': 0.6}),
    (watch.HEALTHY, {'won': wave(0.4, 0.52, 10)}),  # noise
    (watch.HEALTHY, {'won': lambda done: 0.1 + 0.4 * done}),  # one way only
    # The first half does not count.
    (watch.HEALTHY, {'right': lambda done: 0.55 + 0.4 * (done < 0.5)}),
    (watch.HEALTHY, {'varied': lambda done: 0.9 - 0.85 * (done < 0.5)}),
    (watch.CRITIC_DOMINATES, {'right': 0.81, 'won': 0.19}),
    (watch.CRITIC_DOMINATES, {'right': 0.97, 'won': 0.02, 'varied': 0.1}),
    (watch.MOVER_DOMINATES, {'right': 0.5, 'won': 0.49, 'gap': 0.3}),
    (watch.MOVER_DOMINATES, {'right': 0.42, 'won': 0.6, 'gap': 1.4}),
    (watch.COLLAPSE, {'varied': 0.2}),
    (watch.COLLAPSE, {'varied': lambda done: max(1.0 - 2.0 * done, 0.05)}),
    (watch.COLLAPSE, {'varied': 0.02, 'right': 0.5, 'gap': 0.5}),
    (watch.OSCILLATION, {'won': wave(0.3, 0.6, 8)}),
    (watch.OSCILLATION, {'varied': wave(0.5, 2.5, 8)}),
    (watch.OSCILLATION, {'won': wave(0.3, 0.6, 8), 'gap': 0.5}),
    (watch.OSCILLATION, {'gap': wave(0.3, 1.5, 8)}),
    (watch.OSCILLATION, {'gap': wave(0.15, 0.45, 8)}),
    (watch.HEALTHY, {'gap': wave(0.02, 0.2, 8)}),  # noise of little
    (watch.MOVER_DOMINATES, {'right': 0.5, 'gap': wave(0.8, 1.5, 8)}),
  ],
)
def test_states(state, curves):
  found = watch.judge(records(**curves))
  assert (found.state, len(found.evidence) > 30) == (state, True), found
  assert found.evidence.endswith('.')


def test_the_evidence_has_the_numbers():
  found = watch.judge(records(right=0.91, won=0.08))
  assert found.evidence.startswith(
    'discriminator score 0.91, generator score 0.08, gradient norms critic '
    '1.2, mover 0.5: '
  )
  assert 'variance of moved rows of the same label 0.10' in (
    watch.judge(records(varied=0.1)).evidence
  )
  # The root of the gap.
  found = watch.judge(records(right=0.5, won=0.5, gap=0.36))
  assert '0.60 standard deviations apart' in found.evidence
  found = watch.judge(records(won=wave(0.3, 0.7, 10)))
  assert 'the generator score turns 9 times between 0.30 and 0.70' in (
    found.evidence
  )


def test_scores_of_validation_rows_where_no_others_are_logged():
  lines = [
    {key: v for key, v in line.items() if not key.startswith('train/')}
    for line in records()
  ]
  lines = [line for line in lines if len(line) > 1]
  assert watch.judge(lines).state == watch.CRITIC_DOMINATES  # .99


def test_other_trainings_have_no_state():
  assert watch.judge([]) is None
  assert watch.judge([{'step': 1, 'train/loss': 2.0}]) is None
  # An adversarial one of a version that logged no diversity.
  lines = [
    {key: v for key, v in line.items() if 'diversity' not in key}
    for line in records()
  ]
  assert watch.judge(lines) is None


def test_diversity_without_labels():
  lines = [
    {key: v for key, v in line.items() if 'label_diversity' not in key}
    | ({'validation/diversity': 0.1} if 'validation/gap' in line else {})
    for line in records()
  ]
  found = watch.judge(lines)
  assert found.state == watch.COLLAPSE
  assert 'label' not in found.evidence


def test_too_short_to_tell():
  found = watch.judge(records(steps=np.array([100, 200, 300, 400])))
  assert found.state == watch.UNKNOWN
  assert '2 evaluations, and 3 are needed' in found.evidence
  six = records(steps=np.arange(100, 700, 100))
  assert watch.judge(six).state == watch.HEALTHY


@pytest.mark.parametrize(
  ('values', 'expected'),
  [
    ([0, 1], 0),
    ([0, 1, 0], 1),
    ([0, 1, 0, 1, 0], 3),
    ([0, 0.4, 0.2, 0.6, 0.4, 1.0], 0),  # small steps back are noise
    ([0, 0.3, 0.6, 0.9, 0.6, 0.3, 0.0], 1),  # slow moves are moves
    ([0.5], 0),
  ],
)
def test_turns(values, expected):
  assert watch.turns(values, 0.5) == expected


class TestMeasure:
  """Two labels with means at +-3, and a spread of 2 in the first dimension."""

  def setup_method(self):
    rng = np.random.default_rng(0)
    self.y = np.eye(2)[np.arange(4000) % 2]
    self.means = self.y @ np.array([[3.0, 0.0], [-3.0, 0.0]])
    self.noise = rng.normal(size=(2, 4000, 2)) * [2.0, 1.0]
    self.real = self.means + self.noise[0]

  def measure(self, moved, labels=True, **arguments):
    outputs = np.zeros(4000), np.zeros(4000)
    y = self.y if labels else None
    return watch.measure(moved, self.real, *outputs, y, **arguments)

  def test_equal_distributions(self):
    found = self.measure(self.means + self.noise[1])
    assert found['diversity'] == pytest.approx(1.0, abs=0.05)
    assert found['label_diversity'] == pytest.approx(1.0, abs=0.05)
    assert found['gap'] < 0.005
    assert found['real_above_moved'] == 0.5

  def test_one_answer_to_each_request(self):
    found = self.measure(self.means + 0.1 * self.noise[1])
    assert found['label_diversity'] == pytest.approx(0.01, rel=0.1)
    assert found['diversity'] == pytest.approx(9.05 / 14, rel=0.05)
    assert found['gap'] < 0.005

  def test_rows_that_ignore_the_label(self):
    found = self.measure(self.noise[1])
    # Squared distance 9 of the means, over two dimensions; variances 4 and 1.
    assert found['gap'] == pytest.approx(9 / 5, rel=0.05)
    assert found['label_diversity'] == pytest.approx(1.0, abs=0.05)

  def test_unit(self):
    """A dimension that is kept where all is lost in the other, in its unit."""
    moved = self.means + self.noise[1] * [0.0, 1.0]
    assert self.measure(moved)['label_diversity'] == pytest.approx(0.2, 0.05)
    found = self.measure(moved, unit=np.array([0.1, 10.0]))
    assert found['label_diversity'] < 1e-3

  def test_without_labels(self):
    found = self.measure(self.means + 0.1 * self.noise[1], labels=False)
    assert found['label_diversity'] == found['diversity']

  def test_labels_of_few_rows_add_no_gap(self):
    labels = np.arange(4000)[:, None] // 2
    rng = np.random.default_rng(1)
    moved, real = rng.normal(size=(2, 4000, 3))
    found = watch.measure(moved, real, moved[:, 0], real[:, 0], labels)
    assert found['gap'] < 0.05
    assert found['label_diversity'] == pytest.approx(1.0, abs=0.06)
    # Of one row each: as without labels.
    found = watch.measure(
      moved, real, moved[:, 0], real[:, 0], np.arange(4000)[:, None]
    )
    assert found['label_diversity'] == found['diversity']

  def test_pairs_of_outputs(self):
    moved = self.real[:4]
    of_real, of_moved = np.array([1, 2, 3, 4.0]), np.array([0, 2, 9, 1.0])
    found = watch.measure(moved, moved, of_moved, of_real)
    assert found['real_above_moved'] == 2.5 / 4

  def test_images_and_rows_that_do_not_differ(self):
    images = np.ones((4, 2, 2, 1))
    found = watch.measure(images, images, np.zeros(4), np.zeros(4))
    assert found['diversity'] == 1.0
    assert found['gap'] == 0.0
