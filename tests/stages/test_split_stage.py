"""Split keeps shares, groups and near-duplicates, and refuses what would make the evaluation worthless."""

import json

import polars as pl
import pytest
from source_tables import json_lines, run_clean, run_split, write_recipe

from stages.lib import near as near_duplicates
from stages.lib.augmentation import no_accents
from stages.plumbing.problem import Problem

WORDS = [
    "azul",
    "verde",
    "mesa",
    "copo",
    "prato",
    "vidro",
    "louça",
    "madeira",
    "grande",
    "pequeno",
    "leve",
    "forte",
    "casa",
    "jardim",
    "sala",
]


def prepared(folder, monkeypatch, rows, **changes):
    monkeypatch.chdir(folder)
    write_recipe(folder, **changes)
    (folder / "rows.jsonl").write_bytes(json_lines(rows))
    from pathlib import Path

    run_clean(folder, Path("rows.jsonl"))


def varied(count: int) -> list[dict[str, str]]:
    """Rows whose texts share no three words in a row."""
    return [
        {"title": f"produto {n}", "content": " ".join(f"{WORDS[(n + k) % 15]}{n * k}" for k in range(8))}
        for n in range(count)
    ]


def test_462_readings_of_22_cards_become_392_and_70_with_the_cards_in_proportion(tmp_path, monkeypatch):
    rows = [{"carta": f"carta {n % 22}", "texto": f"Leitura número {n}, que fala do dia {n}."} for n in range(462)]
    prepared(
        tmp_path,
        monkeypatch,
        rows,
        source__columns={"inputs": {"carta": "carta"}, "response": "texto"},
        prompt__template="custom",
        prompt__text="{carta}",
        split__method="exact",
        split__stratify="carta",
        split__group=None,
        split__near_duplicates=None,
        split__test=0,
        split__validation=0.15,
        split__evaluate_on="validation",
    )
    got = run_split(tmp_path)
    assert got.report["rows"] == {"train": 392, "validation": 70, "test": 0}
    of_card = got.validation["carta"].value_counts()["count"]
    assert (of_card.len(), of_card.min(), of_card.max()) == (22, 3, 4)


def test_each_row_is_on_one_side_or_left_out_for_a_reason(tmp_path, monkeypatch):
    prepared(tmp_path, monkeypatch, varied(900), split__read=600, split__train_rows=400, split__test=0.2)
    got = run_split(tmp_path)
    report = got.report
    assert report["read"] == 900
    assert report["left_out"]["beyond_read"] == 300
    assert report["rows"]["train"] == 400
    assert report["left_out"]["beyond_train_rows"] > 0
    assert sum(report["rows"].values()) + sum(report["left_out"].values()) == 900
    ids = pl.concat([got.train, got.validation, got.test])["row_id"]
    assert ids.n_unique() == ids.len() == sum(report["rows"].values())
    assert got.train["row_id"].is_sorted()


def test_near_duplicates_stand_on_one_side_and_without_that_they_are_counted(tmp_path, monkeypatch):
    rows = varied(300)
    # Each text once more with another colour at its end: 9 of 11 triples are shared, 0.82.
    again = [
        {"title": row["title"], "content": f"{row['content']} {colour}"} for row in rows for colour in ("azul", "rosa")
    ]
    prepared(tmp_path, monkeypatch, again, split__group=None, split__near_duplicates=0.75)
    got = run_split(tmp_path)
    assert got.report["leakage"] | {"examples": 0} == {
        "pairs": 0,
        "share": 0.0,
        "compared": 300,
        "not_compared": 0,
        "near_duplicates": 300,
        "threshold": 0.75,
        "examples": 0,
    }
    assert got.report["groups"]["largest_cluster"] == 2


def test_more_leakage_than_allowed_stops_and_names_the_rows(tmp_path, monkeypatch):
    rows = varied(300)
    shouted = [{"title": row["title"].upper(), "content": row["content"].upper() + "!"} for row in rows]
    prepared(tmp_path, monkeypatch, rows + shouted, split__group=None, split__near_duplicates=None)
    with pytest.raises(Problem, match=r"has a near-duplicate on another side, such as rows \d+ and \d+ \(1\.0\)"):
        run_split(tmp_path)
    assert not (tmp_path / "data/split").exists()
    write_recipe(tmp_path, split__group=None, split__near_duplicates=None, split__max_leakage=1.0)
    leakage = run_split(tmp_path).report["leakage"]
    assert leakage["near_duplicates"] == 300
    assert leakage["pairs"] > 20
    assert len(leakage["examples"]) == 10


def test_a_test_side_that_is_empty_though_asked_for_is_refused(tmp_path, monkeypatch):
    prepared(tmp_path, monkeypatch, varied(50), split__test=0)
    with pytest.raises(Problem, match="no row on the test side"):
        run_split(tmp_path)
    assert not (tmp_path / "reports/split.json").exists()


ALIKE = [{"title": f"produto {n}", "content": " ".join(WORDS * 2)} for n in range(40)]
SAME_TITLE = [row | {"title": "produto"} for row in varied(40)]


@pytest.mark.parametrize(
    ("rows", "changes", "side", "found", "key"),
    [
        (varied(40), {"train_rows": 0.00001}, "train", "40 of 40 rows read", "train_rows"),
        (varied(60), {"read": 1, "evaluate_on": "validation"}, "validation", "1 of 60 rows read", "read"),
        (varied(60), {"read": 1, "validation": 0.01, "evaluate_on": "validation"}, "validation", "1 of 60", "read"),
        (varied(60), {"read": 1e-9}, "train", "0 of 60 rows read", "read"),
        (varied(60), {"read": 2, "method": "exact"}, "train", "2 of 60 rows read", "read"),
        (ALIKE, {"near_duplicates": 0.3}, "test", "40 of them in the largest group", "near_duplicates"),
        (
            ALIKE,
            {"near_duplicates": 0.3, "max_cluster": 1},
            "test",
            "39 left out as near-duplicates",
            "near_duplicates",
        ),
        (
            ALIKE,
            {"near_duplicates": 0.3, "method": "exact", "folds": 5, "fold": 4},
            "test",
            "40 of them in the largest group",
            "near_duplicates",
        ),
        (
            ALIKE,
            {"seed": 2, "near_duplicates": 0.3, "validation": 0.2, "evaluate_on": "validation"},
            "validation",
            "40 of them in the largest group",
            "near_duplicates",
        ),
        (SAME_TITLE, {}, "test", "40 of them in the largest group", "group"),
        (varied(40), {"method": "exact", "folds": 50, "fold": 49}, "test", "1 of them in the largest group", "folds"),
        (varied(40), {"method": "exact", "validation": 0.98, "test": 0}, "train", "40 of 40 rows read", "validation"),
        (varied(40), {"test": 0.0001}, "test", "40 of 40 rows read", "test"),
    ],
)
def test_a_side_without_rows_is_told_with_the_key_that_cures_it(rows, changes, side, found, key, tmp_path, monkeypatch):
    prepared(tmp_path, monkeypatch, rows, **{f"split__{name}": value for name, value in changes.items()})
    with pytest.raises(Problem, match=f"no row on the {side} side") as refused:
        run_split(tmp_path)
    assert refused.value.where == f"params.yaml, split.{key}"
    assert f"split.{key}" in refused.value.do
    assert found in refused.value.found


def test_an_unknown_group_or_shard_is_refused_with_what_there_is(tmp_path, monkeypatch):
    prepared(tmp_path, monkeypatch, varied(50))
    write_recipe(tmp_path, split__group=["brand"])
    with pytest.raises(Problem, match=r"in split\.group, not brand"):
        run_split(tmp_path)
    write_recipe(tmp_path, split__shards=[3])
    with pytest.raises(Problem, match="numbers from 0 to 0"):
        run_split(tmp_path)


def test_shards_laid_end_to_end_are_the_clean_rows(tmp_path, monkeypatch):
    prepared(tmp_path, monkeypatch, varied(1050), shard__rows=400)
    run_split(tmp_path)
    manifest = json.loads((tmp_path / "data/shards/manifest.json").read_text())
    assert [(s["file"], s["rows"], s["first_row_id"], s["last_row_id"]) for s in manifest["shards"]] == [
        ("00000.parquet", 400, 1, 400),
        ("00001.parquet", 400, 401, 800),
        ("00002.parquet", 250, 801, 1050),
    ]
    parts = [pl.read_parquet(tmp_path / "data/shards" / shard["file"]) for shard in manifest["shards"]]
    assert pl.concat(parts).equals(pl.read_parquet(tmp_path / "data/clean.parquet"))


def test_some_shards_can_be_taken(tmp_path, monkeypatch):
    prepared(tmp_path, monkeypatch, varied(1000), shard__rows=400, split__shards=[0, 2])
    got = run_split(tmp_path)
    assert got.report["read"] == 600
    ids = pl.concat([got.train, got.validation, got.test])["row_id"]
    assert not ids.is_between(401, 800).any()


@pytest.mark.parametrize("method", ["hash", "exact"])
def test_folds_partition_the_rows(method, tmp_path, monkeypatch):
    prepared(tmp_path, monkeypatch, varied(200))
    seen: list[int] = []
    for fold in range(5):
        write_recipe(tmp_path, split__method=method, split__folds=5, split__fold=fold)
        got = run_split(tmp_path)
        seen += got.test["row_id"].to_list()
        assert got.train.height + got.validation.height + got.test.height == 200
        if method == "exact":
            assert got.report["rows"] == {"train": 150, "validation": 10, "test": 40}
    assert sorted(seen) == list(range(1, 201))


COPIED = {
    "augmentation__copies": 2,
    "augmentation__methods.no_accents": 1.0,
    "augmentation__paraphrases": ["Fale de {title}."],
}


def test_copies_are_of_training_rows_alone_and_change_no_side(tmp_path, monkeypatch):
    rows = varied(300)
    prepared(tmp_path, monkeypatch, rows)
    plain = run_split(tmp_path)
    assert plain.copies.height == 0
    assert plain.report["copies"]["rows"] == 0
    write_recipe(tmp_path, **COPIED)
    got = run_split(tmp_path)
    for side in ("train", "validation", "test"):
        assert getattr(got, side).equals(getattr(plain, side))
    assert got.report | {"copies": 0} == plain.report | {"copies": 0}
    assert got.report["copies"]["rows"] == got.copies.height == got.train.height
    assert got.report["copies"]["same"] == got.train.height  # the second copy of each row would be the first again
    assert got.copies["row_id"].to_list() == got.train["row_id"].to_list()
    assert got.copies.columns == ["row_id", "copy", "line", "title", "response", "paraphrase"]
    assert run_split(tmp_path).copies.equals(got.copies)


@pytest.mark.parametrize("near", [0.8, None])
def test_no_copy_is_like_a_row_that_is_held_out(near, tmp_path, monkeypatch):
    words = ["relógio", "português", "única", "edição", "número", "pão", "café", "açaí", "coração", "balão"]
    rows = [
        {"title": title, "content": f"A resposta que as duas linhas de número {n} têm."}
        for n in range(100)
        for with_accents in [f"{words[n % 10]} {words[n // 10]} {' '.join(words)} {n}"]
        for title in (with_accents, no_accents(with_accents))
    ]
    prepared(tmp_path, monkeypatch, rows)
    # Copies of one row are all like each other: not that, but rows held out are looked for.
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 20_000)
    texts = [f"{{title}} {n}" for n in range(8)]
    methods = {"augmentation__methods.no_accents": 1.0, "augmentation__paraphrases": texts}
    write_recipe(tmp_path, split__near_duplicates=near, augmentation__copies=6, **methods)
    got = run_split(tmp_path)
    assert got.report["copies"]["not_compared"] == 0
    held_out = set(pl.concat([got.validation, got.test]).select("title", "response").rows())
    assert got.report["copies"]["like_held_out"] > 5
    assert got.report["copies"]["rows"] == got.report["copies"]["paraphrase"] == got.copies.height > 5
    assert not held_out & set(got.copies.select("title", "response").rows())


def test_no_copy_is_of_the_group_of_a_row_that_is_held_out(tmp_path, monkeypatch):
    texts = ("Tampo de vidro, pés de ferro e um metro de diâmetro.", "Feita à mão por quem mora ao pé da serra.")
    rows = [
        {"title": f"{name} redonda {n}", "content": f"{text} Peça de número {n}."}
        for n in range(100)
        for name, text in zip(("Mesa", "mesa"), texts, strict=True)
    ]
    prepared(tmp_path, monkeypatch, rows)
    write_recipe(tmp_path, augmentation__copies=1, **{"augmentation__methods.small_letters": 1.0})
    got = run_split(tmp_path)
    assert got.report["copies"]["like_held_out"] > 5
    assert got.copies.height > 50
    held_out = pl.concat([got.validation, got.test])
    assert got.copies.join(held_out, on="title", how="semi").is_empty()
    write_recipe(tmp_path, augmentation__copies=1, split__group=None, **{"augmentation__methods.small_letters": 1.0})
    assert run_split(tmp_path).report["copies"]["like_held_out"] == 0


def test_a_stratum_that_is_a_group_is_refused(tmp_path, monkeypatch):
    prepared(tmp_path, monkeypatch, varied(50))
    write_recipe(tmp_path, split__method="exact", split__stratify="title", split__group=["title"])
    with pytest.raises(Problem, match="another field in stratify than in group"):
        run_split(tmp_path)


def test_rows_that_no_side_has_are_named(tmp_path, monkeypatch):
    words = [f"palavra{n}" for n in range(12)]
    prepared(tmp_path, monkeypatch, [{"title": f"t{n}", "content": " ".join([*words, f"x{n}"])} for n in range(40)])
    write_recipe(tmp_path, split__near_duplicates=0.5, split__max_cluster=3, split__group=None, split__max_leakage=1.0)
    with pytest.raises(Problem):  # all of them are alike: one side has three rows, the others none
        run_split(tmp_path)
    more = [{"title": f"outra coisa {n}", "content": f"Um texto número {n}, de {n * 7} palavras."} for n in range(60)]
    rows = [{"title": f"t{n}", "content": " ".join([*words, f"x{n}"])} for n in range(40)]
    prepared(tmp_path, monkeypatch, rows + more)
    write_recipe(tmp_path, split__near_duplicates=0.5, split__max_cluster=3, split__group=None)
    got = run_split(tmp_path)
    assert got.report["left_out"]["crowded"] == 37
    assert got.report["left_out_rows"] == {"straddling": [], "crowded": list(range(4, 24))}


def test_a_paraphrase_of_unknown_fields_is_refused(tmp_path, monkeypatch):
    prepared(tmp_path, monkeypatch, varied(50))
    write_recipe(tmp_path, **COPIED | {"augmentation__paraphrases": ["Fale de {brand}."]})
    with pytest.raises(Problem, match=r"in augmentation\.paraphrases, not brand"):
        run_split(tmp_path)
