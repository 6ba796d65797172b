"""The project's metrics as `evaluate.Metric`, for code that works with that library; nothing is fetched from a hub.

    evaluator("rougeL").compute(predictions=["é azul"], references=["é azul"])  # {"rougeL": 1.0}

No stage uses it: importing evaluate takes several seconds, and its results are those of metrics.py, number by number.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stages.lib.answers import Answers, Questions
from stages.lib.metrics import METRICS, measure

if TYPE_CHECKING:
    import evaluate


def evaluator(name: str) -> "evaluate.Metric":
    """The metric `name` of METRICS; those that ask more than predictions and references take `inputs`, too.

    Raises KeyError for an unknown name and ValueError for a metric that needs a model's own numbers.
    """
    import datasets
    import evaluate

    metric = METRICS[name]
    if metric.needs != "texts":
        what = {"model": "what only a model has: its loss or why it stopped", "encoder": "an encoder of texts"}
        raise ValueError(f"{name} needs {what[metric.needs]}")

    class Registered(evaluate.Metric):
        def _info(self) -> evaluate.MetricInfo:
            texts = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            return evaluate.MetricInfo(
                description=metric.definition, citation="", inputs_description="", features=datasets.Features(texts)
            )

        def _compute(
            self, predictions: Sequence[str], references: Sequence[str], inputs: Sequence[str] | None = None, **_: Any
        ) -> dict[str, float]:
            questions = Questions(inputs or [""] * len(references), references)
            return measure(Answers(questions, predictions), {name: metric}).values()

    return Registered(experiment_id=name, keep_in_memory=True)
