"""Unsupervised clusters of embeddings: whitened principal components, then k-means with many starts."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.heads import ClusterHead

COMPONENTS = 8


def fit_clusters(pooled: NDArray[np.floating], clusters: int, seed: int = 0) -> ClusterHead:
    """Cluster embeddings (T, d) of tiles.

    Components are signed so that their largest weight is positive; clusters are numbered along the first one.
    """
    from sklearn.cluster import KMeans

    x = np.asarray(pooled, np.float64)
    mean = x.mean(0)
    _, size, axes = np.linalg.svd(x - mean, full_matrices=False)
    axes = axes[:COMPONENTS].T
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    scale = np.maximum(size[: axes.shape[1]] / np.sqrt(len(x)), 1e-9)
    z = (x - mean) @ axes / scale
    centroids = KMeans(clusters, n_init=20, random_state=seed).fit(z).cluster_centers_
    head = ClusterHead(x.shape[1], axes.shape[1], clusters)
    for name, values in (("mean", mean), ("components", axes), ("scale", scale)):
        getattr(head, name).copy_(torch.from_numpy(values))
    head.centroids.copy_(torch.from_numpy(centroids[np.argsort(centroids[:, 0])]))
    return head.eval()
