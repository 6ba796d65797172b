"""The report: one page that a person reads, made of the numbers of all earlier reports; no network, no clock."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from stages.lib import charts
from stages.lib.comparison import DUMB, PARTS, Evaluation
from stages.lib.examples import KINDS, choose, marked
from stages.lib.files import whole
from stages.lib.gate import Reason
from stages.lib.health import Point, health
from stages.lib.identity import environment, sha256_of_lines
from stages.lib.report_words import Language, number, share, signed, words
from stages.plumbing.section import Section

if TYPE_CHECKING:
    import polars as pl
    from markupsafe import Markup

TEMPLATE = Path(__file__).with_name("report.html.j2")
# What decides the numbers of this stage, so that another environment is seen for what it is.
PACKAGES = ("altair", "numpy", "polars", "rouge-score", "sacrebleu", "scikit-learn", "vl-convert-python")
ENCODING = ("tokenizers", "torch", "transformers")  # where a semantic model is named
# Those of the tested metrics that share a scale from 0 to 1, once BLEU and chrF are divided by 100.
SCALES = {"rougeL": 1, "rouge1": 1, "rouge2": 1, "bleu": 100, "chrf": 100, "semantic": 1, "prompt_words_used": 1}
LEVELS = ("rougeL", "bleu", "chrf", "prompt_words_used")


class Report(Section):
    """How the report is written."""

    language: Language
    examples: int = Field(ge=0, le=50)


@dataclass(frozen=True)
class Facts:
    """All that the report tells: this stage's numbers, the earlier reports by name, and the hashes of the tables."""

    evaluation: Evaluation
    asked: "pl.DataFrame"
    side: str  # the side of the split that was evaluated: test or validation
    reports: Mapping[str, Mapping[str, Any]]
    curves: Sequence[Mapping[str, float | None]]
    hashes: Mapping[str, str]
    code: str  # sha256 of this stage's code
    comparison: Mapping[str, Any]
    metrics: Mapping[str, Any]
    reasons: Sequence[Reason]


def write_report(target: Path, facts: Facts, report: Report) -> None:
    """Render the page; equal facts give equal bytes."""
    from jinja2 import Environment, StrictUndefined

    page = Page(facts, report.language)
    # Every value is escaped, whatever the template is called: what rows say stays text.
    world = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = world.from_string(TEMPLATE.read_text("utf-8")).render(
        t=page.told,
        page=page,
        charts=page.charts(),
        headline=page.headline(),
        metrics=page.metrics("all"),
        unseen=page.metrics("unseen"),
        ledger=page.ledger(),
        examples=page.examples(report.examples),
        proofs=page.proofs(),
        settings=page.settings(),
        facts=facts,
        kinds=KINDS,
    )
    with whole(target) as begun:
        begun.write_text(text, "utf-8")


@dataclass(frozen=True)
class Page:
    """What the template shows, in the words and numbers of one language."""

    facts: Facts
    language: Language

    def told(self, key: str, **values: object) -> str:
        """The words for a key; a metric that somebody added is called by its own name."""
        known = words(self.language)
        if key not in known and key.startswith(("name.", "means.")):
            return key.partition(".")[2]
        return known[key].format(**values)

    def number(self, value: float, digits: int = 3) -> str:
        return number(value, self.language, digits)

    def share(self, value: float) -> str:
        return share(value, self.language)

    def headline(self) -> dict[str, Any]:
        """The verdict on ROUGE-L in words, what trivial systems and gate say, and the numbers of the first look."""
        comparison = self.facts.comparison
        found = comparison["tuned_against"]["all"]["baseline"]["rougeL"]
        values = {
            "rows": self.number(comparison["rows"]["all"]),
            "before": self.number(found["other"]),
            "after": self.number(found["tuned"]),
            "delta": signed(found["delta"], self.language),
            "confidence": self.share(comparison["confidence"]),
            "low": signed(found["low"], self.language),
            "high": signed(found["high"], self.language),
            "p": self.p(found["p"]),
        }
        beaten = [part for part in PARTS if (comparison["beats_trivial_systems"][part] or {"both": True})["both"]]
        close = found["verdict"] == "better" and len(beaten) < len(PARTS)
        return {
            "title": self.told("headline.close" if close else f"headline.{found['verdict']}"),
            "kind": "no" if self.facts.reasons else "close" if close else "yes",
            "lead": self.told("lead" if self.facts.side == "test" else "lead.validation", **values),
            "trivial": self.trivial_systems(),
            "gate": self.gate(),
            "tiles": self.tiles(),
        }

    def tiles(self) -> list[dict[str, str]]:
        numbers, bands = self.facts.metrics, self.facts.comparison["bands"]
        digits = {"rougeL": 3, "bleu": 1, "prompt_words_used": 3, "perplexity": 2}
        return [
            {
                "name": self.told(f"name.{name}"),
                "value": self.number(numbers["tuned"][name], places),
                "from": self.told("from", value=self.number(numbers["baseline"][name], places)),
                "band": self.told(f"band.{bands[name]}") if name in bands else "",
                "kind": bands.get(name, ""),
            }
            for name, places in digits.items()
        ]

    def trivial_systems(self) -> list[str]:
        """Whether tuned beats the two trivial systems: a sentence for all rows, one for those with unseen words."""
        beats, rows = self.facts.comparison["beats_trivial_systems"], self.facts.comparison["rows"]
        sentences = []
        for part, stem in zip(PARTS, ("trivial", "unseen"), strict=True):
            found = beats[part]
            if found is None:
                sentences.append(self.told("unseen.none"))
                continue
            by = {
                short: signed(found[name], self.language) for short, name in zip(("copy", "nearest"), DUMB, strict=True)
            }
            key = f"{stem}.yes" if found["both"] else f"{stem}.no"
            margin = self.number(beats["margin"], 2)
            sentences.append(self.told(key, margin=margin, rows=self.number(rows[part]), **by))
        return sentences

    def gate(self) -> str:
        if not self.facts.reasons:
            return self.told("gate.yes")
        reasons = [
            self.told(
                f"reason.{reason.name}",
                **{
                    key: self.number(value) if isinstance(value, float) else value
                    for key, value in reason.values.items()
                },
            )
            for reason in self.facts.reasons
        ]
        return self.told("gate.no", reasons="; ".join(reasons))

    def p(self, value: float) -> str:
        """A p-value to three digits; smaller ones are only said to be smaller."""
        return self.number(value) if value >= 0.001 else "<\N{NO-BREAK SPACE}" + self.number(0.001)

    def metrics(self, part: str) -> list[dict[str, Any]]:
        """One row of the table for each metric on all rows, or for each tested one on the unseen rows."""
        numbers, found = self.facts.metrics, self.facts.comparison["tuned_against"].get(part)
        if found is None:
            return []
        four = {**numbers, **numbers["references"]} if part == "all" else numbers["unseen"]
        rows = []
        for name in numbers["tuned"] if part == "all" else found["baseline"]:
            digits = 2 if name in {"bleu", "chrf", "perplexity"} else 3
            test = found["baseline"].get(name)
            cells = {
                system: self.number(four[system][name], digits) if name in four[system] else "–"
                for system in ("baseline", "tuned", *DUMB)
            }
            cells["delta"] = signed(four["delta"][name], self.language, digits)
            cells["interval"] = "–"
            if test:
                ends = [signed(test[end], self.language, digits) for end in ("low", "high")]
                cells |= {"interval": " … ".join(ends), "p": self.p(test["p_holm"]), "verdict": test["verdict"]}
            rows.append({"key": name, "name": self.told(f"name.{name}"), **cells})
        return sorted(rows, key=lambda row: row["interval"] == "–")

    def charts(self) -> dict[str, dict[str, Any]]:
        """Each chart: its title, its drawing, and the sentence that says the same to who cannot see it."""
        called = {key: self.told(key) for key in charts.COLOURS}
        losses, answers = self._curves()
        drawn = {
            "levels": charts.levels(self._levels(), {**called, **self._names()}),
            "deltas": charts.intervals(self._deltas(), charts.COLOURS["tuned"], self.told("delta")),
            "trivial": charts.intervals(self._trivial_deltas(), charts.COLOURS["nearest"], self.told("delta")),
            "curves.loss": charts.lines(losses, called, (self.told("step"), self.told("loss"))),
            "curves.quality": charts.lines(answers, called, (self.told("step"), "")),
        }
        lengths, scores = self._lengths(), self._scores()
        top = max(float(np.quantile(np.concatenate(list(lengths.values())), 0.98)), 10.0)
        edges = np.linspace(0, np.ceil(top / 20) * 20, 21)
        drawn["lengths"] = charts.histogram(lengths, called, (self.told("words"), self.told("rows")), edges)
        drawn["scores"] = charts.histogram(scores, called, ("ROUGE-L", self.told("rows")), np.linspace(0, 1, 21))
        last = {name: self.number(points[-1][1]) if points else "–" for name, points in losses.items()}
        said = {"curves.loss": last, "lengths": self._medians(lengths, 0), "scores": self._medians(scores, 3)}
        return {
            name: {
                "title": self.told(name if name.startswith("curves") else f"{name}.title"),
                "alt": self.told(f"{name}.alt", **said.get(name, {})),
                "svg": _safe(charts.svg(chart, name.replace(".", "-"), self.language)),
            }
            for name, chart in drawn.items()
        }

    def _names(self) -> dict[str, str]:
        return {name: self.told(f"name.{name}") + (" ÷ 100" if scale == 100 else "") for name, scale in SCALES.items()}

    def _levels(self) -> dict[str, dict[str, float]]:
        numbers = {**self.facts.metrics, **self.facts.metrics["references"]}
        systems = ("baseline", "tuned", *DUMB)
        return {name: {system: numbers[system][name] / SCALES[name] for system in systems} for name in LEVELS}

    def _deltas(self) -> list[dict[str, Any]]:
        found, names = self.facts.comparison["tuned_against"]["all"]["baseline"], self._names()
        return [
            {"label": names[name], **{key: found[name][key] / scale for key in ("delta", "low", "high")}}
            for name, scale in SCALES.items()
            if name in found
        ]

    def _trivial_deltas(self) -> list[dict[str, Any]]:
        return [
            {
                "label": f"{self.told(other)}, {self.told(f'part.{part}')}",
                **{key: others[other]["rougeL"][key] for key in ("delta", "low", "high")},
            }
            for part, others in self.facts.comparison["tuned_against"].items()
            for other in DUMB
        ]

    def _curves(self) -> tuple[dict[str, list[tuple[float, float]]], dict[str, list[tuple[float, float]]]]:
        points = self.facts.curves
        losses = {name: charts.curve(points, f"{name}_loss") for name in ("train", "validation")}
        return losses, {"rougeL": charts.curve(points, "rougeL"), "bleu": charts.curve(points, "bleu", 100.0)}

    def _lengths(self) -> dict[str, np.ndarray]:
        systems = self.facts.evaluation.systems
        texts = {"reference": systems["tuned"].answers.questions.reference_words}
        texts |= {name: systems[name].answers.words for name in ("baseline", "tuned")}
        return {name: np.array([len(text) for text in of]) for name, of in texts.items()}

    def _scores(self) -> dict[str, np.ndarray]:
        systems = self.facts.evaluation.systems
        return {name: systems[name].row_values("rougeL") for name in ("baseline", "tuned")}

    def _medians(self, values: Mapping[str, np.ndarray], digits: int) -> dict[str, str]:
        told = [f"{self.told(name)} {self.number(float(median(row)), digits)}" for name, row in values.items()]
        return {"medians": ", ".join(told)}

    def health(self) -> list[dict[str, str]]:
        points = [Point(int(row["step"]), row["train_loss"], row["validation_loss"]) for row in self.facts.curves]
        return [{"word": word, "text": self.told(f"health.{word}")} for word in health(points)]

    def trained(self) -> str:
        summary = self.facts.reports["summary"]
        model, steps = summary["model"], summary["steps"]
        return self.told(
            "trained",
            trained=self.number(model["parameters_trained"]),
            total=self.number(model["parameters_total"]),
            share=self.share(model["parameters_trained"] / model["parameters_total"]),
            done=self.number(steps["done"]),
            planned=self.number(steps["planned"]),
        )

    def ledger(self) -> dict[str, Any]:
        """The flow of the rows: what was read, what became of it, which side it went to, each as a share of all."""
        clean, split = self.facts.reports["clean"], self.facts.reports["split"]
        sides = {name: split["rows"][name] for name in ("train", "validation", "test")}
        left_out = {name: count for name, count in split["left_out"].items() if count}
        unused = clean["kept"] - sum(sides.values()) - sum(left_out.values())
        after = {"kept": clean["kept"], "duplicates": clean["duplicates"], "quarantined": clean["quarantined"]}
        dealt = {**sides, **left_out, **({"unused": unused} if unused else {})}
        most = max(clean["read"], 1)

        def flow(counts: Mapping[str, int]) -> list[dict[str, Any]]:
            return [
                {
                    "key": key,
                    "name": self.told(key),
                    "rows": self.number(count),
                    "share": round(100 * count / most, 2),
                    "left": key in left_out or key == "unused",
                }
                for key, count in counts.items()
            ]

        reasons = sorted(clean["reasons"].items(), key=lambda item: (-item[1], item[0]))
        return {
            "columns": [flow({"read": clean["read"]}), flow(after), flow(dealt)],
            "reasons": [
                {"reason": name.replace("_", " "), "rows": self.number(count)} for name, count in reasons if count
            ],
        }

    def examples(self, most: int) -> list[dict[str, Any]]:
        """The rows shown: inputs, reference, both answers with their differing words, and what they stand for."""
        systems, asked = self.facts.evaluation.systems, self.facts.asked
        before, after = (systems[name].answers.predictions for name in ("baseline", "tuned"))
        scores = self._scores()
        kinds = choose(asked["row_id"].to_list(), before, after, (scores["baseline"], scores["tuned"]), most)
        fields = [name for name in asked.columns if name not in {"row_id", "line", "response"}]
        shown = []
        for place, found in kinds.items():
            row = asked.row(place, named=True)
            answers = [
                {
                    "system": name,
                    "pieces": marked(systems[name].answers.predictions[place], row["response"]),
                    "score": self.number(float(scores[name][place]), 2),
                }
                for name in ("baseline", "tuned")
            ]
            shown.append(
                {
                    "row_id": row["row_id"],
                    "inputs": {name: row[name] or "" for name in fields},
                    "kinds": found,
                    "reference": marked(row["response"], after[place]),
                    "answers": answers,
                }
            )
        return shown

    def proofs(self) -> dict[str, Any]:
        """The adapter proof, the leakage certificate and the expectations, in sentences."""
        proof, leakage = self.facts.reports["proof"], self.facts.reports["split"]["leakage"]
        expectations = self.facts.reports["validation"]["expectations"]
        values = {name: self.number(proof["keys"][name]) for name in ("matched", "expected")}
        values |= {
            "difference": self.number(float(proof["max_logit_difference"])),
            "threshold": self.number(float(proof["threshold"])),
            "rows": self.number(proof["rows"]),
            "changed": self.share(proof["changed_answers_share"]),
        }
        certificate = [
            self.told(
                "leakage.text",
                pairs=self.number(leakage["pairs"]),
                share=self.share(leakage["share"]),
                compared=self.number(leakage["compared"]),
                threshold=self.number(float(leakage["threshold"]), 2),
            )
        ]
        if leakage["not_compared"]:
            certificate.append(self.told("leakage.skipped", skipped=self.number(leakage["not_compared"])))
        return {
            "adapter": {
                "ok": proof["passed"],
                "text": self.told("proof.yes" if proof["passed"] else "proof.no", **values),
            },
            "leakage": {
                "ok": leakage["pairs"] == 0,
                "text": " ".join(certificate),
            },
            "expectations": {
                "ok": all(found["ok"] for found in expectations),
                "text": self.told(
                    "expectations.text", ok=sum(found["ok"] for found in expectations), all=len(expectations)
                ),
                "names": [{"name": found["name"].replace("_", " "), "ok": found["ok"]} for found in expectations],
            },
        }

    def settings(self) -> dict[str, Any]:
        """What the numbers depend on: parameters by section, hashes, signatures, versions."""
        reports = self.facts.reports
        hashes = {self.told(name): reports[name].get("sha256") or "–" for name in ("source", "base")}
        hashes[self.told("adapter")] = reports["proof"]["adapter_sha256"]
        measuring = environment(PACKAGES + (ENCODING if "semantic" in self.facts.comparison["signatures"] else ()))
        packages = list(dict.fromkeys([*measuring, *reports["summary"]["environment"]]))
        made_by = {self.told("code"): self.facts.code, self.told("environment"): sha256_of_lines(packages)}
        sections = {
            section: [(key, _shown(value)) for key, value in sorted(_flat(content).items())]
            for section, content in sorted(reports["summary"].get("params", {}).items())
        }
        signatures = [f"{name} {text}" for name, text in sorted(self.facts.comparison["signatures"].items())]
        return {
            "hashes": {**hashes, **self.facts.hashes, **made_by},
            "sections": sections,
            "guarantee": reports["summary"]["guarantee"],
            "versions": [*packages, *signatures],
            "definitions": [
                (self.told(f"name.{name}"), self.told(f"means.{name}")) for name in self.facts.comparison["definitions"]
            ],
        }


def _safe(drawn: str) -> "Markup":
    """A drawing of ours as markup; altair's texts are escaped in it already, and nothing in it may act."""
    from markupsafe import Markup

    if re.search(r"<script|<foreignObject|\son\w+=|javascript:", drawn, re.IGNORECASE):
        raise ValueError("a chart holds something that acts; it is not put on the page")
    return Markup(drawn)  # noqa: S704 - checked above


def _flat(content: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested parameters under dotted names."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found


def _shown(value: object) -> str:
    """A parameter as params.yaml has it, nearly."""
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
