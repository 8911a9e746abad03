"""Drawn pictures and masks for recordings that have no photographs: smooth areas, edges, texture."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def draw_picture(height: int, width: int, seed: int) -> Array:
    """[1, 3, height, width], -1 to 1: a colour gradient, discs, and one striped rectangle."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = y / height, x / width
    corners = random.uniform(-0.8, 0.8, (3, 3)).astype(np.float32)
    picture = np.stack([base + (slope_x - base) * x + slope_y * y for base, slope_x, slope_y in corners])
    for _ in range(6):
        cy, cx, radius = random.uniform(0, 1), random.uniform(0, 1), random.uniform(0.05, 0.25)
        inside = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        picture[:, inside] = random.uniform(-1, 1, (3, 1))
    top, left = random.uniform(0, 0.6, 2)
    stripes = (y > top) & (y < top + 0.3) & (x > left) & (x < left + 0.3)
    angle, frequency = random.uniform(0, np.pi), random.uniform(20, 120)
    wave = np.sin(frequency * (np.cos(angle) * x + np.sin(angle) * y))
    picture[:, stripes] = 0.7 * wave[stripes]
    picture += 0.03 * random.standard_normal(picture.shape)
    result: Array = np.clip(picture, -1, 1).astype(np.float32)[None]
    return result


def draw_mask(height: int, width: int, seed: int) -> Array:
    """[1, 1, height, width], 1 where the pipeline paints: a border, a box or everything, in turn."""
    mask = np.zeros((1, 1, height, width), np.float32)
    edge_y, edge_x = height // 5, width // 5
    if seed % 4 == 3:
        mask[:] = 1
    elif seed % 4 == 2:
        mask[:, :, edge_y : height - edge_y, edge_x : width - edge_x] = 1
    else:
        mask[:] = 1
        mask[:, :, edge_y : height - edge_y, edge_x : width - edge_x] = 0
    return mask
