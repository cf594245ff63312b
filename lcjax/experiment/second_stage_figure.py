"""The figure of a second VAE: which of its parts loses what.

One whose draws are worse than its reconstructions knows z of u, but u of real
images is not spread as N(0, I).
"""

from typing import Any

import jax
import numpy as np

from lcjax.evaluation import metrics, paper_figures
from lcjax.experiment import build, generator, train_two_stage
from lcjax.experiment.loaded_run import Drawn, LoadedRun
from lcjax.latent import noise

_NUM_NEIGHBOURS = 5  # k of the recall


def parts(
  mean: np.ndarray, scale: np.ndarray, key: jax.Array
) -> dict[str, np.ndarray]:
  """Latents [u, e] of every row of the figure, by its name.

  Args:
    mean: [N, 2Z] of q([u, e]|x) of images, see `generators.two_stage.Move`.
    scale: [N, 2Z] likewise.
    key: of the draws.
  """
  rows, half = np.arange(len(mean)), mean.shape[1] // 2
  own_key, prior_key = jax.random.split(key)
  u = (mean + scale * noise.draw(own_key, rows, 2 * half))[:, :half]
  prior = noise.draw(prior_key, rows, 2 * half)
  drawn, e = prior[:, :half], prior[:, half:]
  none = np.zeros_like(e)
  return {
    name: np.concatenate(both, axis=1)
    for name, both in {
      'z of images': (mean[:, :half], mean[:, half:]),
      'u of images, z = f(u)': (u, none),
      'u of images, z = f(u) + gamma e': (u, e),
      'u of N(0, I), z = f(u)': (drawn, none),
      'u of N(0, I), z = f(u) + gamma e': (drawn, e),
    }.items()
  }


def second_stage(loaded: LoadedRun) -> Drawn:
  """Decoded latents of each part, their Frechet distances and recalls."""
  job = loaded.job
  section = job.config.figures
  model, _ = train_two_stage.load_model(job, loaded.train, 0)
  encode, decode = (
    generator.bind(job.config, fn, model.params)
    for fn in (
      build.make_encode(model.encode_fn),
      build.make_decode(model.decode_fn),
    )
  )
  mean, scale = encode(loaded.test.images[: section.num_samples])
  key = build.stage_key(job.config.seed, 'second_stage')
  images, scores = {}, dict[str, dict[str, Any]]()
  for name, latents in parts(mean, scale, key).items():
    images[name] = decode(latents)
    features = loaded.predict_fn(images[name])[1]
    overlap = metrics.neighbour_values(
      features, loaded.test_features, _NUM_NEIGHBOURS
    )
    scores[name] = {
      'frechet': metrics.frechet_distance(features, loaded.test_features),
      'knn_recall': float(overlap['knn_recall'].mean()),
    }
  page = paper_figures.Block(
    images=np.stack([part[: section.num_columns] for part in images.values()]),
    row_labels=[
      f'{name}\nFrechet {found["frechet"]:.2g}, recall '
      f'{found["knn_recall"]:.2f}'
      for name, found in scores.items()
    ],
  )
  caption = (
    'Decoded latents of held-out images, of the second VAE from u of the same '
    'images, and of its prior, without and with the noise gamma e. Frechet '
    'distances to the held-out split and k-NN recalls, in the features of the '
    f'judge, over {len(mean)} images: '
    + '; '.join(
      f'{name}: {found["frechet"]:.3g} at recall {found["knn_recall"]:.2f}'
      for name, found in scores.items()
    )
    + '.\n'
  )
  return Drawn(paper_figures.image_page([page]), scores, caption)
