"""The papers' steps, written out for numbers: what a sampler's whole run must give, method by method.

Each function returns a step: from a ``Run`` at step i, the x after it. All is in x_hat, so that the papers' alpha is 1.
Integrals of polynomials are done by quadrature.
"""

import numpy as np
from scipy.integrate import quad
from scipy.interpolate import lagrange

from diffbench.diffusion.grid import time_grid
from diffbench.diffusion.schedule import schedule_from

VP = schedule_from({"kind": "vp", "beta_min": 0.1, "beta_max": 20.0})
VE = schedule_from({"kind": "ve", "sigma_min": 0.05, "sigma_max": 20.0})
STEPS = 6
GRIDS = {
    (schedule, final): time_grid(schedule, STEPS, "karras", final, sigma_min=0.08, sigma_max=15.0)
    for schedule in (VP, VE)
    for final in ("sigma_min", "denoise")
}
NOISES = [1.1, -0.3, 0.6, 1.7, -1.2, 0.4]


def estimate(x, sigma):
    """A denoised estimate: any smooth function."""
    return 0.7 * np.cos(sigma) + 0.2 + 0.1 * np.sin(x)


class Run:
    """What a formula sees at step i: x, the estimates D and e so far, and lambda = -ln sigma of the grid."""

    def __init__(self, schedule, final):
        self.schedule, self.grid = schedule, GRIDS[schedule, final]
        self.sigma = self.grid.sigma
        with np.errstate(divide="ignore"):
            self.lam = -np.log(self.sigma)
        self.x, self.D, self.e, self.i = 2.0, [], [], -1

    def path(self, step, full_order=False):
        """x after every step; onto sigma = 0 it is the denoised estimate, unless the method keeps its order there."""
        out = []
        for self.i in range(STEPS):
            self.evaluate()
            self.x = step(self) if full_order or self.sigma[self.i + 1] > 0 else self.D[-1]
            out.append(self.x)
        return out

    def evaluate(self):
        self.D.append(estimate(self.x, self.sigma[self.i]))
        self.e.append((self.x - self.D[-1]) / self.sigma[self.i])

    @property
    def h(self):
        return self.lam[self.i + 1] - self.lam[self.i]

    @property
    def ratio(self):
        return self.sigma[self.i + 1] / self.sigma[self.i]

    def differences(self, y):
        """dpm-solver's D1_0, and from the third step on D1 and D2 of its third-order update; the ratios' r."""
        r0 = (self.lam[self.i] - self.lam[self.i - 1]) / self.h
        first = (y[-1] - y[-2]) / r0
        if self.i < 2:
            return first, None, None
        r1 = (self.lam[self.i - 1] - self.lam[self.i - 2]) / self.h
        second = (y[-2] - y[-3]) / r1
        return first, first + r0 / (r0 + r1) * (first - second), (first - second) / (r0 + r1)


def order_of(run, order, lower_final):
    return min(order, run.i + 1, STEPS - run.i if lower_final else order)


def multistep(kind, order, corrected=False, lower_final=True):
    """dpm-solver's multistep_dpm_solver_second_update and _third_update; SDE-DPM-Solver++ as in k-diffusion."""

    def step(run):
        now, h, target = order_of(run, order, lower_final), run.h, run.sigma[run.i + 1]
        y = run.e if kind == "noise" else run.D
        first, slope, curve = run.differences(y) if now > 1 else (0.0, None, None)
        curve = 2 * curve if corrected and now == 3 else curve
        if kind == "noise":
            phi_1 = np.expm1(h)
            phi_2 = phi_1 / h - 1
            if now < 3:
                return run.x - target * phi_1 * (y[-1] + first / 2)
            return run.x - target * (phi_1 * y[-1] + phi_2 * slope + (phi_2 / h - 0.5) * curve)
        rate = 2 if kind == "sde" else 1
        phi_1 = np.expm1(-rate * h)
        phi_2 = phi_1 / (rate * h) + 1
        noise = target * np.sqrt(-np.expm1(-2 * h)) * NOISES[run.i] if kind == "sde" else 0.0
        x = run.ratio**rate * run.x + noise
        if now == 2 and kind == "sde" and order == 3:
            return x - phi_1 * y[-1] + phi_2 * first
        if now < 3:
            return x - phi_1 * (y[-1] + first / 2)
        return x - phi_1 * y[-1] + phi_2 * slope - (phi_2 / (rate * h) - 0.5) * curve

    return step


def exponential(run, i, x, points, D, tau=0.0):
    """Step i of dx/dlambda = (1 + tau^2) (D - x), plus noise, with D the polynomial through the ``points``."""
    rate, h = 1 + tau**2, run.lam[i + 1] - run.lam[i]
    polynomial = lagrange(run.lam[points], np.array(D)[points])
    moved = quad(lambda at: rate * np.exp(-rate * (run.lam[i + 1] - at)) * polynomial(at), *run.lam[i : i + 2])[0]
    noise = run.sigma[i + 1] * np.sqrt(1 - np.exp(-2 * tau**2 * h)) * NOISES[i]
    return np.exp(-rate * h) * x + moved + noise


def latest(i, count):
    return list(range(max(i + 1 - count, 0), i + 1))


def sa_solver(predictor, corrector, tau):
    """Xue et al. 2023, Eq. 15 and 18; tau holds within [sigma_4, sigma_1], both ends inside."""

    def strength(i):
        return tau if 1 <= i <= 4 else 0.0

    def step(run):
        if corrector and run.i > 0:
            last = run.i - 1
            run.x = exponential(run, last, run.before, latest(run.i, corrector), run.D, strength(last))
        run.before = run.x
        return exponential(run, run.i, run.x, latest(run.i, predictor), run.D, strength(run.i))

    return step


def unipc(order, variant):
    """uni_pc.py's multistep_uni_pc_bh_update: two estimates take B(h) / 2, more the polynomial through all."""

    def moved(run, i, x, points):
        if len(points) != 2:
            return exponential(run, i, x, points, run.D)
        h = run.lam[i + 1] - run.lam[i]
        (other,) = set(points) - {i}
        share = (run.lam[other] - run.lam[i]) / h
        b = h if variant == "bh1" else -np.expm1(-h)
        return run.sigma[i + 1] / run.sigma[i] * x - np.expm1(-h) * run.D[i] + b / 2 * (run.D[other] - run.D[i]) / share

    def step(run):
        if run.i > 0:
            run.x = moved(run, run.i - 1, run.before, latest(run.i, order_of_last[0] + 1))
        run.before = run.x
        order_of_last[0] = order_of(run, order, True)
        return moved(run, run.i, run.x, latest(run.i, order_of_last[0]))

    order_of_last = [1]
    return step


def adams(order, variable):
    """Zhang & Chen 2023: e as the polynomial in ``variable``(sigma) through the last estimates, over d sigma."""

    def step(run):
        points = latest(run.i, order)
        at = variable(run, run.sigma[points])
        polynomial = np.polyfit(at - at[-1], np.array(run.e)[points], len(points) - 1)
        ends = run.sigma[run.i : run.i + 2]
        return run.x + quad(lambda s: np.polyval(polynomial, variable(run, s) - at[-1]), *ends, epsabs=1e-13)[0]

    return step


# Liu et al. 2022 (PNDM), Eq. 12, the newest first.
EQUAL_STEPS = {1: (1,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12), 4: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}


def ipndm(order):
    def step(run):
        weights = EQUAL_STEPS[min(order, run.i + 1)]
        change = run.sigma[run.i + 1] - run.sigma[run.i]
        return run.x + change * sum(w * e for w, e in zip(weights, reversed(run.e), strict=False))

    return step


def pndm(warm_up):
    """Liu et al. 2022 (PNDM), Eq. 12 and 13."""

    def step(run):
        start, end = run.sigma[run.i : run.i + 2]
        if run.i >= (3 if warm_up == "runge-kutta" else 1):
            return ipndm(4)(run)
        x, first = run.x, run.e[-1]

        def noise(direction, level):
            at = x + (level - start) * direction
            return (at - estimate(at, level)) / level

        if warm_up == "heun":
            return x + (end - start) * (first + noise(first, end)) / 2
        middle = run.schedule.sigma((run.grid.t[run.i] + run.grid.t[run.i + 1]) / 2)
        second = noise(first, middle)
        third = noise(second, middle)
        return x + (end - start) * (first + 2 * second + 2 * third + noise(third, end)) / 6

    return step


def singlestep(kind, order):
    """DPM-Solver, Algorithms 1 and 2; dpm-solver's singlestep updates with algorithm dpmsolver++."""
    r1, r2 = (1 / 2, None) if order == 2 else (1 / 3, 2 / 3)

    def step(run):
        h, start, sign = run.h, run.sigma[run.i], 1 if kind == "noise" else -1
        y = (run.e if kind == "noise" else run.D)[-1]

        def along(share):
            level = start * np.exp(-share * h)
            if kind == "noise":
                return level, run.x - level * np.expm1(share * h) * y
            return level, level / start * run.x - np.expm1(-share * h) * y

        def term(share):
            """phi_2 of DPM-Solver's Eq. B.2 and its like, times what stands before it."""
            level = start * np.exp(-share * h) if kind == "noise" else -1.0
            return -level * (np.expm1(sign * share * h) / (share * h) - sign)

        def change(share, add=0.0):
            level, x = along(share)
            D = estimate(x + add, level)
            return ((x + add - D) / level if kind == "noise" else D) - y

        _, end = along(1)
        if order == 2:
            scale = run.sigma[run.i + 1] * np.expm1(h) if kind == "noise" else np.expm1(-h)
            return end - scale / (2 * r1) * change(r1)
        return end + term(1) / r2 * change(r2, r2 / r1 * term(r2) * change(r1))

    return step


def in_sigma(run, s):
    return s


def in_log_sigma(run, s):
    return np.log(s)


def in_time(run, s):
    return run.schedule.t_of(s)
