"""A sampler of one's own beside others in a Pareto plot. Run it as a script, or cell by cell in a notebook."""

# %%
import diffbench


def damped(denoise, x, sigmas, noise):
    """Euler in sigma, with the state pulled a little too far towards the denoised estimate."""
    for sigma, after in zip(sigmas[:-1], sigmas[1:], strict=True):
        x0 = denoise(x, sigma)
        x = x0 + 0.98 * (after / sigma) * (x - x0)
    return x


# %% A run folder, runs/mine: the same call resumes, and samples what is new.
results = diffbench.run(
    {"name": "mine", "timing": {"seconds": 20, "batch_size": 8}},
    models={"ldm-mnist": "ldm-mnist"},
    samplers={"damped": damped, "ddim": "ddim", "dpmpp-2m": "dpmpp-2m"},
    budgets=[5, 10],
    samples=160,
)
results

# %% As PNG, PDF and SVG with the CSV behind them.
figure = results.plot.pareto()
figure.write("pareto")
figure
