"""The report of one run that no other run can repeat: when, on what, how fast. No stage depends on it."""

from datetime import UTC, datetime
from typing import Any

from stages.lib.fitting import Fitted, Rows


def run_report(fitted: Fitted, rows: Rows) -> dict[str, Any]:
    """The facts of `reports/train/run.json`; times in seconds, memory in bytes."""
    summary = fitted.summary
    seconds = fitted.runtime["seconds"] - fitted.runtime["evaluation_seconds"]
    steps = summary["steps"]["done"] - fitted.runtime["resumed_from_step"]
    tokens = steps * fitted.runtime["tokens_per_step"]
    responses = [len(row["response"]) for row in rows.train + rows.validation]
    names = [name for name in rows.train[0] if name not in {"row_id", "line", "response"}]
    return {
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "data": {
            "total": len(responses),
            "train": len(rows.train),
            "copies": len(rows.copies),
            "validation": len(rows.validation),
            "distinct": {name: len({row[name] for row in rows.train + rows.validation}) for name in names},
            "mean_response_chars": round(sum(responses) / len(responses), 1),
        },
        "model": summary["model"] | {"epochs": summary["epochs"]},
        "training": fitted.runtime
        | {
            "rows_per_second": round(tokens / summary["tokens"]["tokens_per_row"] / seconds, 2) if seconds else None,
            "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
            "train_loss": summary["train_loss"],
        },
        "evaluation": {name: summary[name] for name in ("validation_loss", "rougeL", "bleu")},
    }


def hardware() -> dict[str, Any]:
    """The device, its memory and what was used of it at most, and the version of CUDA if there is any."""
    import platform
    import resource

    import torch

    facts: dict[str, Any] = {
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
    }
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "gpu": properties.name,
            "gpu_memory": properties.total_memory,
            "gpu_peak_memory": torch.cuda.max_memory_allocated(),
        }
    return facts
