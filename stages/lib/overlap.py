"""ROUGE and BLEU of texts against references, right for Portuguese: words keep their accents, nothing is stemmed."""

import re

WORD = re.compile(r"\w+")


class Words:
    """The tokeniser of ROUGE here: runs of letters and digits of any script, in lower case.

    rouge_score's own keeps ASCII letters alone, so that "é" scores nothing against "é".
    """

    def tokenize(self, text: str) -> list[str]:
        return WORD.findall(text.casefold())


def rouge_l(predictions: list[str], references: list[str]) -> float:
    """Mean ROUGE-L F1 over the pairs, 0 to 1 (Lin 2004, https://aclanthology.org/W04-1013)."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], tokenizer=Words())
    values = [
        scorer.score(reference, prediction)["rougeL"].fmeasure
        for prediction, reference in zip(predictions, references, strict=True)
    ]
    return sum(values) / len(values)


def bleu(predictions: list[str], references: list[str]) -> float:
    """Corpus BLEU, 0 to 100, as sacreBLEU's default signature defines it (https://aclanthology.org/W18-6319)."""
    from sacrebleu import corpus_bleu

    return corpus_bleu(predictions, [references]).score
