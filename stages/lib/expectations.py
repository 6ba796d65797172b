"""What must be true of the whole data set: the section `expectations` as suites of Great Expectations."""

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Self

import polars as pl
from pydantic import Field, model_validator

from stages.lib.languages import SHORTEST, Languages, guesses
from stages.plumbing.problem import LISTED, Problem
from stages.plumbing.section import Section

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.expectations.expectation import Expectation

Share = Annotated[float, Field(ge=0, le=1)]

# Responses, at most, whose language is asked; the share found in 20,000 is sure to 0.007.
LANGUAGE_ROWS = 20_000
# What the rules should have left nowhere: HTML entities, tags, the replacement character (R51 measures the same).
DIRT = (
    r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]{2,31});|\x{fffd}"
    r"|</?(?:p|br|div|span|b|i|li|ul|ol|a|td|tr|table)\b[^<>]*>|</?(?:[mopvwx]|st\d):\w+[^<>]*>|<!\["
)


def _leaves_room(limits: Any) -> Any:
    """Refuse a maximum below the minimum."""
    if limits.min is not None and limits.max is not None and limits.max < limits.min:
        raise ValueError(f"a max of at least min ({limits.min}), not {limits.max}")
    return limits


class Quantile(Section):
    """One quantile of the length of the responses, in characters."""

    quantile: Share
    min: int | None
    max: int | None

    _has_room = model_validator(mode="after")(_leaves_room)


class Distinct(Section):
    """How many different values a field has."""

    min: int | None
    max: int | None

    _has_room = model_validator(mode="after")(_leaves_room)


class Expectations(Section):
    """The section `expectations`."""

    min_rows: Annotated[int, Field(ge=1)]
    max_share_set_aside: Share
    max_share_duplicates: Share
    max_share_dirty: Share
    min_share_distinct_responses: Share
    response_chars: list[Quantile]
    languages: Languages | None
    min_share_in_languages: Share
    distinct: dict[str, Distinct]

    @model_validator(mode="after")
    def _quantiles_differ(self) -> Self:
        asked = [wanted.quantile for wanted in self.response_chars]
        if len(set(asked)) < len(asked):
            raise ValueError("each quantile once")
        return self


@dataclass
class Outcome:
    """One expectation, met or not: what was observed, what is wanted, the first row_ids that offend.

    key: the parameter that says what is wanted; None for what is always expected.
    """

    name: str
    key: str | None
    ok: bool
    observed: str
    wanted: str
    rows: list[int] = field(default_factory=list)


def facts_of(clean: pl.LazyFrame, fields: list[str]) -> pl.DataFrame:
    """What the expectations look at, 8 bytes a fact instead of texts: lengths, identities, dirt in the response."""
    return clean.select(
        "row_id",
        *(pl.col(name).str.len_chars().cast(pl.Int64).alias(f"{name} chars") for name in fields),
        *(pl.col(name).hash().reinterpret(signed=True).alias(f"{name} identity") for name in fields),
        pl.col("response").str.contains(DIRT).cast(pl.Int8).alias("response dirt"),
    ).collect(engine="streaming")


def with_languages(facts: pl.DataFrame, clean: pl.LazyFrame) -> pl.DataFrame:
    """The facts, and `response language`: a code, or null for short responses and for rows that are not asked.

    Of more than LANGUAGE_ROWS rows those with the lowest hash of their row_id are asked.
    """
    long = facts.filter(pl.col("response chars") >= SHORTEST)
    asked = long.sort(pl.col("row_id").hash(seed=0), "row_id").head(LANGUAGE_ROWS).select("row_id").lazy()
    texts = clean.select("row_id", "response").join(asked, on="row_id", how="semi").collect(engine="streaming")
    found = texts.select("row_id", guesses(texts["response"])["language"].alias("response language"))
    return facts.join(found, on="row_id", how="left", maintain_order="left")


def ledger_of(report: dict[str, Any]) -> pl.DataFrame:
    """One row: the shares of the cleaning ledger."""
    read = max(report["read"], 1)
    return pl.DataFrame(
        {"share set aside": [report["quarantined"] / read], "share of duplicates": [report["duplicates"] / read]}
    )


def mostly(share: float, rows: int) -> float:
    """The share of `rows` that must do, where at most `share` of them may offend.

    In floats 1 - share can be above what the rows reach at the limit: 1 - 0.18 > 41 / 50.
    """
    if not rows:
        return 1 - share
    offending = round(share * rows)
    if offending / rows > share:
        offending -= 1
    return min(1 - share, (rows - offending) / rows)


def _set_by(key: str) -> dict[str, str]:
    """The note on an expectation that names its parameter."""
    return {"key": f"expectations.{key}"}


def _suites(section: Expectations, facts: pl.DataFrame, columns: list[str]) -> dict[str, dict[str, "Expectation"]]:
    """Suite -> name -> expectation; `meta` names the parameter of each that is set by one."""
    import great_expectations.expectations as gxe

    fields = columns[2:]
    rows: dict[str, Expectation] = {
        "enough_rows": gxe.ExpectTableRowCountToBeBetween(min_value=section.min_rows, meta=_set_by("min_rows")),
        "row_id_present": gxe.ExpectColumnValuesToNotBeNull(column="row_id"),
        "row_id_unique": gxe.ExpectColumnValuesToBeUnique(column="row_id"),
        **{f"{name}_present": gxe.ExpectColumnValuesToNotBeNull(column=f"{name} chars") for name in fields},
        **{
            f"{name}_not_empty": gxe.ExpectColumnValuesToBeBetween(column=f"{name} chars", min_value=1)
            for name in fields
        },
        "response_without_dirt": gxe.ExpectColumnValuesToBeInSet(
            column="response dirt",
            value_set=[0],
            mostly=mostly(section.max_share_dirty, facts["response dirt"].count()),
            meta=_set_by("max_share_dirty"),
        ),
        "responses_differ": gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
            column="response identity",
            min_value=section.min_share_distinct_responses,
            meta=_set_by("min_share_distinct_responses"),
        ),
    }
    if section.response_chars:
        ranges = {
            "quantiles": [wanted.quantile for wanted in section.response_chars],
            "value_ranges": [[wanted.min, wanted.max] for wanted in section.response_chars],
        }
        rows["response_chars"] = gxe.ExpectColumnQuantileValuesToBeBetween(
            column="response chars", quantile_ranges=ranges, allow_relative_error=False, meta=_set_by("response_chars")
        )
    if section.languages:
        rows["response_language"] = gxe.ExpectColumnValuesToBeInSet(
            column="response language",
            value_set=section.languages,
            mostly=section.min_share_in_languages,
            meta=_set_by("min_share_in_languages"),
        )
    for name, wanted in section.distinct.items():
        if name not in fields:
            do = "correct expectations.distinct"
            raise Problem("params.yaml, expectations.distinct", name, f"some of {', '.join(fields)}", do)
        rows[f"{name}_distinct"] = gxe.ExpectColumnUniqueValueCountToBeBetween(
            column=f"{name} identity", min_value=wanted.min, max_value=wanted.max, meta=_set_by(f"distinct.{name}")
        )
    ledger = {
        "share_set_aside": gxe.ExpectColumnValuesToBeBetween(
            column="share set aside",
            min_value=0,
            max_value=section.max_share_set_aside,
            meta=_set_by("max_share_set_aside"),
        ),
        "share_of_duplicates": gxe.ExpectColumnValuesToBeBetween(
            column="share of duplicates",
            min_value=0,
            max_value=section.max_share_duplicates,
            meta=_set_by("max_share_duplicates"),
        ),
    }
    table = {"columns": gxe.ExpectTableColumnsToMatchOrderedList(column_list=["row_id", "line", *fields])}
    return {"rows": rows, "ledger": ledger, "table": table}


def check(
    section: Expectations, facts: pl.DataFrame, ledger: pl.DataFrame, head: pl.DataFrame, columns: list[str]
) -> tuple[list[Outcome], list["ExpectationSuiteValidationResult"]]:
    """Run every suite on the pandas engine; gives the outcomes in order, and the results for the Data Docs."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the library is imported
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    place = context.data_sources.add_pandas("afina")
    frames = {"rows": facts, "ledger": ledger, "table": head}
    # Not COMPLETE: that lists each row that offends, and they may be millions.
    shape = {"result_format": "SUMMARY", "partial_unexpected_count": LISTED}
    outcomes, results = [], []
    for suite_name, wanted in _suites(section, facts, columns).items():
        suite = gx.ExpectationSuite(suite_name)
        for name, expectation in wanted.items():
            expectation.meta = {"key": None, **(expectation.meta or {}), "name": name}
            suite.add_expectation(expectation)
        context.suites.add(suite)
        frame = frames[suite_name].to_pandas()
        batch = place.add_dataframe_asset(suite_name).add_batch_definition_whole_dataframe("whole")
        if "row_id" in frame:
            frame.index = frame["row_id"].array  # without a name: then it is what a row that offends is called by
        result = batch.get_batch({"dataframe": frame}).validate(suite, result_format=shape)
        if "row_id" in frame:
            _name_rows(result)
        results.append(result)
        outcomes += sorted((_outcome(one, frame) for one in result.results), key=lambda o: list(wanted).index(o.name))
    return outcomes, results


def _name_rows(suite: "ExpectationSuiteValidationResult") -> None:
    """Give the first rows that offend the shape in which Data Docs show them beside their values.

    Great Expectations makes it itself for COMPLETE results alone, of all the rows.
    """
    for result in suite.results:
        found, column = result.result, result.expectation_config.kwargs.get("column")
        rows = found.get("partial_unexpected_index_list")
        if rows and column != "row_id":
            values = zip(found["partial_unexpected_list"], rows, strict=True)
            found["unexpected_index_column_names"] = ["row_id"]
            found["unexpected_index_list"] = [{column: value, "row_id": row} for value, row in values]


def _outcome(result: Any, frame: Any) -> Outcome:
    """One of Great Expectations' results in the words of the report."""
    config, found = result.expectation_config, result.result
    observed = found.get("observed_value")
    if observed is None and "unexpected_count" in found:
        asked = found["element_count"] - found.get("missing_count", 0)
        observed = f"{found['unexpected_count']} of {asked} rows offend"
        if "row_id" not in frame:  # the ledger: one row of shares
            observed = float(frame[config.kwargs["column"]].iloc[0])
    if result.exception_info and result.exception_info.get("raised_exception"):
        observed = result.exception_info["exception_message"]
    rows = sorted(map(int, found.get("partial_unexpected_index_list") or [])) if "row_id" in frame else []
    if not result.success and not rows:
        rows = _telling(config, found.get("observed_value"), frame)
    settings = {key: value for key, value in config.kwargs.items() if key != "batch_id"}
    wanted = ", ".join(f"{key} {_short(value)}" for key, value in settings.items())
    named = config.meta["name"], config.meta["key"]
    return Outcome(*named, bool(result.success), _short(observed), wanted, rows[:LISTED])


def _beyond(value: float, least: float | None, most: float | None) -> bool:
    return (least is not None and value < least) or (most is not None and value > most)


def _telling(config: Any, observed: Any, frame: Any) -> list[int]:
    """Rows that show why a whole column does not do: the longest ones, the shortest, the most repeated."""
    column = frame[config.kwargs["column"]] if "column" in config.kwargs else None
    if config.type == "expect_column_quantile_values_to_be_between":
        values = zip(observed["values"], config.kwargs["quantile_ranges"]["value_ranges"], strict=True)
        short = next(
            least is not None and value < least for value, (least, most) in values if _beyond(value, least, most)
        )
        order = column.sort_values(ascending=short, kind="stable").index
        return [int(row) for row in frame["row_id"].loc[order[:LISTED]]]
    if config.type == "expect_column_proportion_of_unique_values_to_be_between" and len(column):
        often = column.value_counts(sort=False)
        return [int(row) for row in frame["row_id"][column == often.idxmax()]]
    return []


def _short(value: object) -> str:
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "nothing" if value is None else str(value)
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    return "not a number" if math.isnan(value) else f"{value:.6g}"


def _plain(value: Any) -> Any:
    """Numbers of numpy's as Python's, within lists and mappings."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value.item() if hasattr(value, "item") else value
