"""The executions of a run, one sealed file each, and ``provenance.json``, which is made from them.

Every process writes a file of its own, so that the tasks of a job array lose nothing to each other.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diffbench.errors import StoreError
from diffbench.store.sealed import read_sealed, write_sealed

FORMAT = 1
FOLDER = "sessions"
PROVENANCE = "provenance.json"

# What must not change between the samples of one run without being said, with its name for people.
_DRIFTING = {
    "diffbench": "diffbench",
    "code": "diffbench's sampling code",
    "python": "Python",
    "platform": "platform",
    "device": "device",
}


def now() -> str:
    """The present time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_path(run: Path, started: str) -> Path:
    """Where a session that begins now is recorded; names sort by time."""
    stamp = started.replace(":", "").replace("-", "").partition("+")[0]
    return run / FOLDER / f"{stamp}-{secrets.token_hex(4)}.json"


def read_sessions(run: Path) -> list[dict[str, Any]]:
    """All recorded sessions, the oldest first; one that can't be read is left out."""
    sessions = []
    folder = run / FOLDER
    try:
        paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    except OSError:  # somebody else's folder beside the runs
        return []
    for path in paths:
        try:
            content = read_sealed(path)
        except StoreError:
            continue
        if content.get("format") == FORMAT:
            sessions.append(content)
    return sessions


def drift(sessions: Iterable[Mapping[str, Any]]) -> list[str]:
    """What changed between the sessions that made samples: ``torch: 2.9.0, then 2.10.0``."""
    seen: dict[str, list[str]] = {}
    for session in sessions:
        if not session.get("cells"):
            continue
        named = {title: session.get(key) for key, title in _DRIFTING.items()}
        named["device"] = (session.get("device") or {}).get("name")
        named["threads"] = (session.get("device") or {}).get("threads")
        named.update(session.get("packages") or {})
        named[_DRIFTING["code"]] = str(session.get("code"))[:12]
        for title, value in named.items():
            values = seen.setdefault(title, [])
            if str(value) not in values:
                values.append(str(value))
    return [f"{title}: {', then '.join(values)}" for title, values in seen.items() if len(values) > 1]


def write_provenance(run: Path) -> None:
    """Write ``provenance.json``: the latest session that made samples, all sessions, and what drifted."""
    sessions = read_sessions(run)
    if not sessions:
        return
    short = [{key: value for key, value in session.items() if key not in ("cells", "format")} for session in sessions]
    made = [number for number, session in enumerate(sessions) if session.get("cells")]
    whole = [number for number in made if sessions[number].get("finished")]
    latest = short[(whole or made or [-1])[-1]]
    write_sealed(run / PROVENANCE, {**latest, "drift": drift(sessions), "sessions": short})
