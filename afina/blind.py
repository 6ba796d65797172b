"""People as judges: a form with the answers of two systems in unknown order, and what the filled-in forms say.

    afina blind form.html            # baseline against tuned; or: afina blind form.html REVISION [REVISION]
    afina blind form.html --score ana.csv --score rui.csv

Which answer is whose stands in `form.html.key.json` alone; who judges does not get that file.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afina.diff import pair
from afina.revisions import WORKSPACE, Answered, answered, project, revision
from stages.lib.answers import joined_inputs, plain
from stages.lib.files import read_json, whole, write_json
from stages.lib.report import Report
from stages.plumbing.params import PARAMS, Sections
from stages.plumbing.problem import Problem

TEMPLATE = Path(__file__).with_name("blind.html.j2")
CHOICES = {"1": "first", "2": "second", "0": "equal"}
COLUMNS = ("form", "row_id", "asked", "first", "second", "choice")
# What a spreadsheet would take for a formula gets an apostrophe before it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
WORDS = {
    "en": {
        "lang": "en",
        "title": "Which answer is better?",
        "text": "Read the question and both answers; choose the better one. Order is by chance and differs from row to "
        "row. Nothing leaves this page: save at the end and send the file.",
        "first": "Answer 1",
        "second": "Answer 2",
        "choose": "Better:",
        "equal": "No difference",
        "save": "Save answers",
        "done": "answered",
    },
    "pt": {
        "lang": "pt-BR",
        "title": "Qual resposta é melhor?",
        "text": "Leia a pergunta e as duas respostas; escolha a melhor. A ordem é sorteada e muda de linha a linha. "
        "Nada sai desta página: salve no fim e envie o arquivo.",
        "first": "Resposta 1",
        "second": "Resposta 2",
        "choose": "Melhor:",
        "equal": "Sem diferença",
        "save": "Salvar respostas",
        "done": "respondidas",
    },
}


class Params(Sections):
    report: Report


@dataclass(frozen=True)
class Row:
    """One row of a form: what was asked, the two answers as shown, and which system wrote the first one (0 or 1)."""

    row_id: int
    asked: str
    first: str
    second: str
    first_is: int


def make(form: Path, names: Sequence[str], rows: int, seed: int) -> None:
    """Write the form for `rows` rows, and its key beside it."""
    if form.suffix not in {".html", ".csv"}:
        raise Problem(str(form), f"the suffix {form.suffix or 'none'}", ".html or .csv", "name the form so")
    key = key_of(form)
    if len(names) > 2:
        raise Problem("the command line", f"{len(names)} revisions", "two at most", "compare two at a time")
    if taken := next((path for path in (form, key) if path.exists()), None):
        raise Problem(str(taken), "it is there already", "a form that nobody has yet", "choose another name")
    with project() as repo:
        language = Params.read(Path(repo.root_dir, PARAMS)).report.language
        if names:
            sides = [answered(repo, revision(repo, name)) for name in (*names, WORKSPACE)[:2]]
            systems = [str(side.revision) for side in sides]
        else:
            here = revision(repo, WORKSPACE)
            systems = ["baseline", "tuned"]
            sides = [answered(repo, here, stage) for stage in ("baseline", "predict")]
    chosen, equal = drawn(*sides, rows, seed)
    if not chosen:
        raise Problem("the answers", f"all {equal} are equal", "rows with two different answers", "compare others")
    name = identity(chosen)
    with whole(form) as begun:
        # Excel reads UTF-8 by its mark alone, and cuts at what the language has for a separator.
        text = page(chosen, name, language) if form.suffix == ".html" else "\ufeff" + table(chosen, name, language)
        begun.write_text(text, "utf-8")
    first = {str(row.row_id): row.first_is for row in chosen}
    write_json(key, {"form": name, "systems": systems, "first": first, "equal_answers": equal})
    print(f"{form}: {len(chosen)} rows to judge; {equal} rows have equal answers and are not asked about")
    print(f"{key}: whose answer is whose; keep it from who judges")


def key_of(form: Path) -> Path:
    """The file that says whose answer is whose."""
    return form.with_name(f"{form.name}.key.json")


def drawn(a: Answered, b: Answered, most: int, seed: int) -> tuple[list[Row], int]:
    """Up to `most` rows with different answers, in an order by hash of seed and row_id; and how many are equal.

    Another hash says which answer stands first, so that neither system has a place of its own.
    """
    pairs = pair(a, b)
    told = zip(
        pairs.asked["row_id"],
        joined_inputs(pairs.asked),
        pairs.one["prediction"],
        pairs.other["prediction"],
        strict=True,
    )
    rows, equal = [], 0
    for row_id, asked, one, other in told:
        if plain(one) == plain(other):
            equal += 1
            continue
        first_is = _chance(seed, "first", row_id) % 2
        first, second = (other, one) if first_is else (one, other)
        rows.append(Row(row_id, asked, first, second, first_is))
    rows.sort(key=lambda row: _chance(seed, "row", row.row_id))
    return rows[:most], equal


def _chance(seed: int, what: str, row_id: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {what} {row_id}".encode()).digest()[:8], "big")


def identity(rows: Iterable[Row]) -> str:
    """A short name of a form by its content, which every filled-in form carries."""
    content = json.dumps([[row.row_id, row.asked, row.first, row.second] for row in rows])
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def page(rows: Sequence[Row], name: str, language: str) -> str:
    """The form as one page: no network, works on a phone, saves a table of choices."""
    from jinja2 import Environment, StrictUndefined

    world = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return world.from_string(TEMPLATE.read_text("utf-8")).render(rows=rows, form=name, t=WORDS[language])


def table(rows: Sequence[Row], name: str, language: str) -> str:
    """The form as a table, for a spreadsheet: the column choice wants 1, 2 or 0 (no difference)."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";" if language == "pt" else ",")
    writer.writerow(COLUMNS)
    for row in rows:
        shown = [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in (row.asked, row.first, row.second)]
        writer.writerow([name, row.row_id, *shown, ""])
    return text.getvalue()


def choices(path: Path, key: Mapping[str, Any]) -> dict[str, int]:
    """What one person chose: row_id -> 1 for the second system, -1 for the first one, 0 for no difference."""
    if not path.is_file():
        raise Problem(str(path), "no such file", "a form that was filled in", "correct the name")
    text = path.read_text("utf-8-sig")
    header = text.splitlines()[0] if text else ""
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=header.count))
    if not {"form", "row_id", "choice"} <= set(reader.fieldnames or ()):
        raise Problem(str(path), f"the columns {header[:80]}", "form, row_id and choice", "save the form as CSV again")
    found: dict[str, int] = {}
    for row in reader:
        where, choice = f"{path}, line {reader.line_num}", (row["choice"] or "").strip()
        if row["form"] != key["form"]:
            raise Problem(where, f"form {row['form']}", f"form {key['form']}", "score it with its own form")
        if row["row_id"] not in key["first"] or row["row_id"] in found:
            again = "a second time" if row["row_id"] in found else "which the form does not have"
            raise Problem(where, f"row {row['row_id']}, {again}", "each row once", "take the line out")
        if not choice:
            continue
        if choice not in CHOICES:
            raise Problem(where, f"the choice {choice[:40]}", "1, 2 or 0 (no difference)", "correct it")
        first_is = key["first"][row["row_id"]]
        preferred = {"first": first_is, "second": 1 - first_is}.get(CHOICES[choice])
        found[row["row_id"]] = 0 if preferred is None else 2 * preferred - 1
    return found


def verdicts(people: Sequence[Mapping[str, int]], asked: Iterable[str], confidence: float) -> dict[str, Any]:
    """Wins, ties and the exact sign test (Conover 1999, ch. 3.4), with its interval (Clopper & Pearson 1934).

    Of several people's choices on one row the majority counts, as rows are the independent witnesses, not clicks.
    """
    from scipy.stats import binomtest

    votes = {row_id: [person[row_id] for person in people if row_id in person] for row_id in asked}
    judged = Counter((sum(given) > 0) - (sum(given) < 0) for given in votes.values() if given)
    decided = judged[1] + judged[-1]
    test = binomtest(judged[1], decided) if decided else None
    interval = test.proportion_ci(confidence, "exact") if test else (0.0, 1.0)
    several = [given for given in votes.values() if len(given) > 1]
    return {
        "wins": [judged[-1], judged[1]],
        "ties": judged[0],
        "unanswered": sum(not given for given in votes.values()),
        "people": len(people),
        "share": judged[1] / decided if decided else None,
        "low": float(interval[0]),
        "high": float(interval[1]),
        "p": float(test.pvalue) if test else 1.0,
        "confidence": confidence,
        "agreement": sum(len(set(given)) == 1 for given in several) / len(several) if several else None,
    }


def score(form: Path, files: Sequence[Path], *, machine: bool, confidence: float = 0.95) -> None:
    """Print what the filled-in forms say."""
    if not key_of(form).is_file():
        raise Problem(str(key_of(form)), "no such file", "the key that was written with the form", "name the form")
    key = read_json(key_of(form))
    told = verdicts([choices(path, key) for path in files], key["first"], confidence)
    told |= {"systems": key["systems"], "equal_answers": key["equal_answers"]}
    print(json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False) if machine else _as_text(told))


def _as_text(told: Mapping[str, Any]) -> str:
    a, b = told["systems"]
    if told["p"] < 1 - told["confidence"]:
        verdict = f"{b if told['wins'][1] > told['wins'][0] else a} is preferred."
    else:
        verdict = "No preference that chance could not make."
    lines = [verdict, "", f"  {a} is better: {told['wins'][0]} rows", f"  {b} is better: {told['wins'][1]} rows"]
    lines.append(f"  no difference: {told['ties']} rows")
    if told["unanswered"]:
        lines.append(f"  not judged: {told['unanswered']} rows")
    if told["equal_answers"]:
        lines.append(f"  equal answers, not asked about: {told['equal_answers']} rows")
    if told["share"] is not None:
        interval = f"{told['confidence']:.0%} interval {told['low']:.2f} … {told['high']:.2f}"
        lines.append(
            f"  share of the decided rows for {b}: {told['share']:.2f}, {interval}, p {told['p']:.3g} (sign test)"
        )
    if told["agreement"] is not None:
        lines.append(f"  {told['people']} people; all agree on {told['agreement']:.2f} of the rows that several judged")
    return "\n".join(lines)
