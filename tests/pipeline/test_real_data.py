"""The whole pipeline on data that none of us wrote: English product rows, and Portuguese readings from Excel."""

import json
from pathlib import Path

import polars as pl
import pytest

from tests.pipeline.conftest import run, tiny_project

SHARED = Path(__file__).parents[2] / "../shared/data"

MILD = {
    "min_rows": 50,
    "max_share_set_aside": 0.5,
    "max_share_duplicates": 0.5,
    "max_share_dirty": 0.05,
    "min_share_distinct_responses": 0.1,
    "response_chars": [],
    "languages": None,
    "min_share_in_languages": 0.9,
    "distinct": {},
}
PRODUCTS = {
    "source": {"path": str((SHARED / "products_en/trn_sample.json").resolve())},
    "prompt": {"template": "product-question", "max_prompt_tokens": 160},
    "expectations": MILD,
}
TAROT = {
    "source": {
        "path": str((SHARED / "tarot_pt/db_waite_pt.xlsx").resolve()),
        "columns": {
            "inputs": {"carta": "carta", "evento": "evento", "secao": "secao", "tema": "tema"},
            "response": "texto",
        },
    },
    "expectations": MILD,
    "prompt": {"template": "tarot", "max_prompt_tokens": 160},
    "split": {"method": "exact", "stratify": "carta", "group": None, "validation": 0.1, "test": 0.15},
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not beside this checkout")
@pytest.mark.parametrize(("changes", "read"), [(PRODUCTS, 3291), (TAROT, 231)], ids=["products_en", "tarot_pt"])
def test_real_data_goes_through_to_the_end(tmp_path, changes, read):
    project = tiny_project(tmp_path / "clone", {})
    (project / "params.yaml").write_text(changed(project, changes), "utf-8")
    run(project, "dvc", "repro")
    clean = json.loads((project / "reports/clean.json").read_text("utf-8"))
    assert clean["read"] == clean["kept"] + clean["duplicates"] + clean["quarantined"] == read
    merged = json.loads((project / "reports/merge.json").read_text("utf-8"))
    assert merged["merged"]
    tuned = pl.read_parquet(project / "data/predictions/tuned.parquet")
    assert tuned.height > 10
    fields = changes["prompt"]["template"]
    assert ("Gere uma interpretação" if fields == "tarot" else "Pergunta:") in tuned["prompt"][0]


def changed(project: Path, changes: dict) -> str:
    """The project's parameters with `changes`; columns and expectations are replaced, not added to."""
    import yaml

    from tests.pipeline.conftest import merge

    params = yaml.safe_load((project / "params.yaml").read_text("utf-8"))
    params["expectations"] = {}
    if "columns" in changes["source"]:
        params["source"]["columns"] = {}
    return yaml.safe_dump(merge(params, changes), allow_unicode=True, sort_keys=False)
