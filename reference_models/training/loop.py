"""One training loop for all networks: AdamW, warm-up and cosine decay, EMA, checkpoints, progress bar."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

#: Computes the loss of one step; all randomness has to come from the generator.
Loss = Callable[[nn.Module, torch.Generator], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    steps: int
    batch: int
    lr: float
    seed: int = 0
    warmup: int = 200
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    ema: float = 0.0  # the largest decay; 0 switches the moving average off
    clip_norm: float = 1.0
    bf16: bool = False
    checkpoint_seconds: float = 120.0

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then a cosine down to (almost) nothing."""
        rise = min(1.0, (step + 1) / max(1, min(self.warmup, self.steps // 10)))
        return self.lr * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))

    def ema_at(self, step: int) -> float:
        """Return the decay of the moving average at a step: it grows with the number of steps done."""
        return min(self.ema, (1 + step) / (10 + step))


def train(name: str, model: nn.Module, loss: Loss, recipe: Recipe, checkpoint: Path) -> nn.Module:
    """Train ``model`` in place and return it, with the moving average of its weights if the recipe has one.

    Each step draws from a generator seeded by the run's seed and the step's number, so that a run which
    continues from its checkpoint ends with the very weights of an uninterrupted one.
    """
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, foreach=True
    )
    average = [p.detach().clone() for p in parameters]
    first = 0
    if checkpoint.exists():
        first = _load(checkpoint, name, recipe, model, optimizer, average)
    model.train()
    saved = time.monotonic()
    with _progress() as progress:
        task = progress.add_task(name, total=recipe.steps, completed=first, loss=math.nan)
        smooth = math.nan
        for step in range(first, recipe.steps):
            seed = recipe.seed * 1_000_003 + step
            torch.manual_seed(seed)  # dropout has no generator of its own
            generator = torch.Generator().manual_seed(seed)
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr_at(step)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.bf16):
                value = loss(model, generator)
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
            optimizer.step()
            if recipe.ema:
                with torch.no_grad():
                    torch._foreach_lerp_(average, parameters, 1 - recipe.ema_at(step))
            now = float(value.detach())
            smooth = now if math.isnan(smooth) else 0.98 * smooth + 0.02 * now
            progress.update(task, advance=1, loss=smooth)
            if time.monotonic() - saved >= recipe.checkpoint_seconds:
                _save(checkpoint, name, recipe, step + 1, model, optimizer, average)
                saved = time.monotonic()
                progress.console.print(f"{name}: step {step + 1}, loss {smooth:.5f}")
    _save(checkpoint, name, recipe, recipe.steps, model, optimizer, average)
    if recipe.ema:
        with torch.no_grad():
            torch._foreach_copy_(parameters, average)
    return model.eval()


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.5f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


def _identity(name: str, recipe: Recipe) -> dict[str, object]:
    """Return what a checkpoint must agree on with the run that continues from it."""
    return {"name": name, "steps": recipe.steps, "seed": recipe.seed, "batch": recipe.batch, "lr": recipe.lr}


def _save(
    path: Path,
    name: str,
    recipe: Recipe,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: list[Tensor],
) -> None:
    """Write a checkpoint: to a temporary file first, so that a crash leaves the previous one intact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
    torch.save({"run": _identity(name, recipe), "step": step, **state}, temporary)
    os.replace(temporary, path)


def _load(
    path: Path, name: str, recipe: Recipe, model: nn.Module, optimizer: torch.optim.Optimizer, average: list[Tensor]
) -> int:
    """Restore a checkpoint in place and return the number of the next step."""
    state = torch.load(path, weights_only=True)
    if state["run"] != _identity(name, recipe):
        raise SystemExit(f"{path} belongs to another run ({state['run']}): delete it to start afresh")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    with torch.no_grad():
        torch._foreach_copy_(average, state["average"])
    return int(state["step"])
