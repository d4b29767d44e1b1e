"""Published op counts, against the algorithms themselves: run step by step, each op counted."""

from collections import Counter
from math import log2

import pytest

from tostoolkit.counting import algorithms


def cholesky(n):
    """Golub and Van Loan, Algorithm 4.2.2, by inner products."""
    done = Counter()
    for j in range(n):
        for i in range(j, n):
            done["mac"] += j
            done["sqrt" if i == j else "div"] += 1
    return done


def lu(n):
    """Golub and Van Loan, Algorithm 3.4.1: outer products, with partial pivoting."""
    done = Counter()
    for k in range(n - 1):
        for i in range(k, n):
            done["abs"] += 1
            done["max"] += i > k
        for _ in range(k + 1, n):
            done["div"] += 1
            done["mac"] += n - k - 1
    return done


def back_substitution(n, columns, unit=False):
    """Golub and Van Loan, Algorithm 3.1.1, row by row."""
    done = Counter()
    for _ in range(columns):
        for i in range(n):
            done["mac"] += i
            done["div"] += not unit
    return done


def householder(m, n, columns):
    """Golub and Van Loan, Algorithms 5.1.1, 5.2.1, section 5.1.6: a reflection is two products."""
    done = Counter()
    for j in range(min(m, n)):
        rows = m - j
        done["mac"] += rows
        done["sqrt"] += 1
        done["div"] += rows - 1
        for _ in range(j + 1, n):
            done["mac"] += rows + rows  # v'x, and x - v (2 v'x)
    for j in reversed(range(min(m, n))):
        for _ in range(j, columns):
            done["mac"] += 2 * (m - j)
    return done


def fourier(n):
    """Cooley and Tukey: two transforms of half the length, then n / 2 butterflies."""
    if n == 1:
        return Counter()
    halves = fourier(n // 2)
    done = halves + halves
    for _ in range(n // 2):
        done["mul"] += 4  # a complex product
        done["add"] += 2 + 2 + 2  # and a complex sum and difference
    return done


def halving(n):
    """Comparisons until one of n + 1 places is left, at the worst."""
    steps, places = 0, n + 1
    while places > 1:
        steps, places = steps + 1, (places + 1) // 2
    return steps


@pytest.mark.parametrize("n", range(1, 9))
def test_counts_of_square_matrices_are_those_of_the_algorithms(n):
    assert Counter(algorithms.cholesky(n)) == cholesky(n)
    assert Counter(algorithms.lu(n)) == lu(n)
    solve = lu(n) + back_substitution(n, 3) + back_substitution(n, 3, unit=True)
    assert Counter(algorithms.solve(n, 3)) == solve
    assert Counter(algorithms.inverse(n)) == (
        lu(n) + back_substitution(n, n) + back_substitution(n, n, unit=True))
    assert algorithms.binary_search(n) == {"max": halving(n)}


@pytest.mark.parametrize(("m", "n"), [(5, 3), (3, 5), (4, 4), (1, 2), (7, 1)])
def test_counts_of_reflections_are_those_of_the_algorithm(m, n):
    assert Counter(algorithms.qr(m, n)) == householder(m, n, min(m, n))
    assert Counter(algorithms.qr(m, n, full=True)) == householder(m, n, m)


@pytest.mark.parametrize("n", [1, 2, 4, 8, 64])
def test_counts_of_a_transform_are_those_of_the_algorithm(n):
    assert Counter(algorithms.fft([n])) == fourier(n)
    assert Counter(algorithms.fft([n])) == Counter(
        mul=int(2 * n * log2(n)), add=int(3 * n * log2(n)))


def test_leading_terms_are_the_published_flops():
    """Of matrices so large that the other terms vanish; a MAC is two flops."""
    n = 10**6
    for counts, flops in (
            (algorithms.cholesky(n), n**3 / 3), (algorithms.lu(n), 2 * n**3 / 3),
            (algorithms.inverse(n), 8 * n**3 / 3), (algorithms.triangular_solve(n, 1), n**2)):
        assert 2 * counts["mac"] == pytest.approx(flops, rel=1e-5)
    m, n = 3000, 1000
    for counts, flops in (
            (algorithms.qr(m, n), 4 * n**2 * (m - n / 3)),
            (algorithms.least_squares(m, n, 1), 2 * n**2 * (m - n / 3)),
            (algorithms.svd(m, n, vectors=False), 4 * m * n**2 - 4 * n**3 / 3),
            (algorithms.eigen(n), 25 * n**3), (algorithms.eigen(n, vectors=False), 10 * n**3),
            (algorithms.symmetric_eigen(n), 9 * n**3)):
        assert 2 * counts["mac"] == pytest.approx(flops, rel=5e-3)
