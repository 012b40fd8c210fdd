"""Sums over the active entries of features, compiled for the processor; `codes.py` says what they are for.

Axes are member m, input n, and then feature h, entry k or coordinate d. `unit` [m, n, k] lists the active features of
each input, rising, of which the first `count` [m, n] hold. By feature: the entries of feature j of member i are
`place`[i, `start`[i, j] : `start`[i, j + 1]], as indices of the flattened [n, k], inputs rising.

Sums run in the order that is written here, however many threads there are: the compiler may not choose another
(numba's `fastmath`), since it chooses anew for what it compiles and for what it later loads from its cache. Where rows
of weights are read, each of `threads` takes an equal part of the inputs, or features, of one member after another: its
rows then stay in the cache.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from numba import prange

from replications.catalogue import store
from replications.dictionaries import descent


def compiled(function):
    """Compile for the processor, and keep what is compiled where numba can: beside the module, in the home folder, or
    else in our cache. Where nothing can be written, every process compiles anew.
    """
    for place in (numba.config.CACHE_DIR, str(store.cache_root() / "numba")):
        numba.config.CACHE_DIR = place
        try:
            return numba.njit(parallel=True, cache=True)(function)
        except (RuntimeError, OSError):  # RuntimeError: numba has found no place for it
            continue
    return numba.njit(parallel=True)(function)


KEEP, KEEP_SQ, EPS = np.float32(descent.BETA), np.float32(descent.BETA_SQ), np.float32(descent.EPS)
ADD, ADD_SQ = np.float32(1 - descent.BETA), np.float32(1 - descent.BETA_SQ)  # 1 - KEEP would be of double precision


def use_threads() -> int:
    """As many as torch has. When numba starts its own, it changes torch's number too, if both share OpenMP."""
    threads = torch.get_num_threads()
    config: Any = numba.config  # made of variables of the environment when numba is loaded
    own = min(threads, config.NUMBA_NUM_THREADS)
    if numba.get_num_threads() != own:
        numba.set_num_threads(own)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return own


@compiled
def counted(pre, least):
    """How many entries of each input are positive and no less than `least` [m, n]."""
    m, n, h = pre.shape
    count = np.empty((m, n), np.int32)
    for i in prange(n):
        for k in range(m):
            some, bound, found = pre[k, i], least[k, i], 0
            for j in range(h):
                found += (some[j] > 0) & (some[j] >= bound)
            count[k, i] = found
    return count


@compiled
def listed(pre, least, count, most):
    """`unit` of those entries; `most` is the largest count."""
    m, n, h = pre.shape
    unit = np.empty((m, n, most + 1), np.int32)  # the last is written to, and never read, after an input's last entry
    for i in prange(n):
        for k in range(m):
            some, bound, to, at = pre[k, i], least[k, i], unit[k, i], 0
            for j in range(h if count[k, i] else 0):
                to[at] = j
                at += (some[j] > 0) & (some[j] >= bound)
    return unit


@compiled
def by_feature(unit, count, start, place):
    """Fill `start`, which is 0 everywhere, and `place`, which has room for all entries of a member."""
    (m, n, most), h = unit.shape, start.shape[1] - 1
    at = np.empty((m, h), np.int32)
    for k in prange(m):
        for i in range(n):
            for q in range(count[k, i]):
                start[k, unit[k, i, q] + 1] += 1
        for j in range(h):
            at[k, j] = start[k, j]
            start[k, j + 1] += start[k, j]
        for i in range(n):
            for q in range(count[k, i]):
                j = unit[k, i, q]
                place[k, at[k, j]] = i * most + q
                at[k, j] += 1


@compiled
def taken(unit, count, pre):
    """Values [m, n, k] of `pre` [m, n, h] at the entries, 0 beyond the last."""
    m, n, most = unit.shape
    value = np.empty((m, n, most), np.float32)
    for i in prange(n):
        for k in range(m):
            for q in range(count[k, i]):
                value[k, i, q] = pre[k, i, unit[k, i, q]]
            value[k, i, count[k, i] :] = 0
    return value


@compiled
def decoded(unit, count, value, W, threads):
    """f W [m, n, d], where f [m, n, h] has `value` at the entries and is 0 elsewhere."""
    (m, n, _), d = unit.shape, W.shape[2]
    out = np.empty((m, n, d), np.float32)
    for part in prange(threads):
        for k in range(m):
            for i in range(n * part // threads, n * (part + 1) // threads):
                of, weight, end, sums, q = unit[k, i], value[k, i], count[k, i], out[k, i], 0
                sums[:] = 0
                while q + 4 <= end:  # four rows at a time, so that the sums are read and written a quarter as often
                    a, b, c, e = W[k, of[q]], W[k, of[q + 1]], W[k, of[q + 2]], W[k, of[q + 3]]
                    u, v, w, x = weight[q], weight[q + 1], weight[q + 2], weight[q + 3]
                    for j in range(d):
                        sums[j] += u * a[j] + v * b[j] + w * c[j] + x * e[j]
                    q += 4
                while q < end:
                    a, u = W[k, of[q]], weight[q]
                    for j in range(d):
                        sums[j] += u * a[j]
                    q += 1
    return out


@numba.njit(inline="always")
def _dot(total, a, b, part, rest):
    """`total` + a . b: products are summed into a quarter as many, and those into an eighth, sums that run side by
    side."""
    d, w, v = len(a), len(part), len(rest)
    for j in range(w):
        one, two = a[j] * b[j] + a[j + w] * b[j + w], a[j + 2 * w] * b[j + 2 * w] + a[j + 3 * w] * b[j + 3 * w]
        part[j] = one + two
    for j in range(v):
        one, two = part[j] + part[j + v] + (part[j + 2 * v] + part[j + 3 * v]), part[j + 4 * v] + part[j + 5 * v]
        rest[j] = one + (two + (part[j + 6 * v] + part[j + 7 * v]))
    for j in range(4 * w, d):
        total += a[j] * b[j]
    for j in range(8 * v, w):
        total += part[j]
    for j in range(v):
        total += rest[j]
    return total


@compiled
def products(unit, count, e, W, extra, threads):
    """The entries [m, n, k] of e W^T + extra, 0 beyond the last; `extra` is a number per member."""
    (m, n, most), d = unit.shape, W.shape[2]
    out = np.empty((m, n, most), np.float32)
    for part in prange(threads):
        quarter, eighth = np.empty(d // 4, np.float32), np.empty(d // 4 // 8, np.float32)
        for k in range(m):
            for i in range(n * part // threads, n * (part + 1) // threads):
                for q in range(count[k, i]):
                    out[k, i, q] = _dot(extra[k], e[k, i], W[k, unit[k, i, q]], quarter, eighth)
                out[k, i, count[k, i] :] = 0
    return out


@numba.njit
def _scatter(of, value, e, sums):
    """f^T e of one feature, whose entries are `of`."""
    most, q = value.shape[1], 0
    sums[:] = 0
    while q + 4 <= len(of):
        p, r, s, t = of[q], of[q + 1], of[q + 2], of[q + 3]
        a, b, c, f = e[p // most], e[r // most], e[s // most], e[t // most]
        u, v = value[p // most, p % most], value[r // most, r % most]
        w, x = value[s // most, s % most], value[t // most, t % most]
        for i in range(len(sums)):
            sums[i] += u * a[i] + v * b[i] + w * c[i] + x * f[i]
        q += 4
    while q < len(of):
        p = of[q]
        a, u = e[p // most], value[p // most, p % most]
        for i in range(len(sums)):
            sums[i] += u * a[i]
        q += 1


@compiled
def scattered(start, place, value, e, out, threads):
    """f^T e into `out` [m, h, d]; e [l, n, d] is each member's own, or the same for all (l = 1)."""
    m, h, _ = out.shape
    for part in prange(threads):
        for k in range(m):
            for j in range(h * part // threads, h * (part + 1) // threads):
                _scatter(place[k, start[k, j] : start[k, j + 1]], value[k], e[k % len(e)], out[k, j])


@compiled
def descended(start, place, value, e, W, mean, square, rate, root, unit, threads):
    """A step of Adam on the rows of W [m, h, d] down f^T e, a row at a time, so that no memory holds all of it.

    `mean` and `square` are the moments, `rate` and `root` those of `descent.DescentStep`; `unit` brings rows back to
    norm 1.
    """
    m, h, d = W.shape
    for part in prange(threads):
        g = np.empty(d, np.float32)
        for k in range(m):
            for j in range(h * part // threads, h * (part + 1) // threads):
                _scatter(place[k, start[k, j] : start[k, j + 1]], value[k], e[k % len(e)], g)
                row, first, second = W[k, j], mean[k, j], square[k, j]
                for i in range(d):
                    first[i] = KEEP * first[i] + ADD * g[i]
                    second[i] = KEEP_SQ * second[i] + ADD_SQ * g[i] * g[i]
                    row[i] -= rate * first[i] / (np.sqrt(second[i]) * root + EPS)
                    g[i] = row[i] * row[i]
                if unit:
                    w = d
                    while w % 2 == 0:  # halves of the squares, added to each other
                        w //= 2
                        for i in range(w):
                            g[i] += g[w + i]
                    for i in range(1, w):
                        g[0] += g[i]
                    scale = np.float32(1) / np.sqrt(g[0])
                    for i in range(d):
                        row[i] *= scale


@compiled
def summed(start, place, value):
    """Sums [m, h] of f over the inputs."""
    (m, h), most = start.shape, value.shape[2]
    out = np.empty((m, h - 1), np.float32)
    for j in prange(h - 1):
        for k in range(m):
            total = np.float32(0)
            for q in range(start[k, j], start[k, j + 1]):
                total += value[k, place[k, q] // most, place[k, q] % most]
            out[k, j] = total
    return out
