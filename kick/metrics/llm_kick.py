"""The scoring rules of LLM-KICK's own code, the absurd ones too, so that its published numbers can be put side by side.

Jaiswal et al., "Compressing LLMs: The Truth is Rarely Pure and Never Simple", ICLR 2024, arXiv 2310.01382. None of
these rules is used for kick's own tasks; `kick.metrics.answers` holds those, and docs/llm-kick.md what differs.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

SHORT_WORDS, LONG_WORDS = 470, 790
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation + "‘’´`")


def factoid_prompt(question: str, separator: Literal["\n", " "]) -> str:
    """Return the Factoid-QA prompt: its two sentences are parted by a newline (pruning) or a space (quantization)."""
    return f"Please give answer to this question: {question}{separator}The answer is "


def factoid_hit(prompt: str, output: str, gold: str) -> float:
    """Return 1.0 by Factoid-QA's rule: the gold answer is in prompt and output, in lower case without spaces.

    The prompt counts, so a question that names its answer is always right; matches cross word boundaries, so "Iran" is
    in "Mirandas".
    """
    return float(_squeezed(gold) in _squeezed(prompt + output))


def mcr_hit(output: str, letter: str) -> float:
    """Return 1.0 by MCR-QA's rule: the last character of the output is the gold letter, whatever comes before it."""
    return float(output[-1:] == letter)


def normalize(text: str) -> str:
    """Return the normal form of TriviaQA's script: lower case, punctuation to spaces, no articles, single spaces."""
    text = "".join(" " if char in _PUNCTUATION else char for char in text.lower().replace("_", " "))
    return " ".join(_ARTICLES.sub(" ", text).split())


def icra_hit(output: str, aliases: Sequence[str]) -> float:
    """Return 1.0 by ICRA-QA's rule: an alias is in the output or the output in an alias, as substrings in normal form.

    An empty output is in every alias, and so is a stray letter in most.
    """
    given = normalize(output)
    golds = [normalize(alias) for alias in aliases]
    return float(any(gold in given or given in gold for gold in golds))


def icra_f1(output: str, aliases: Sequence[str]) -> float:
    """Return ICRA-QA's token F1 in normal form, in 0..1, for the alias that fits best."""
    return max((_f1(normalize(output).split(), normalize(alias).split()) for alias in aliases), default=0.0)


def story_lengths(story: str) -> frozenset[Literal["small", "medium", "large"]]:
    """Return IC-Sum's length classes of a story; one of exactly 470 or 790 words is in two."""
    words = len(story.split())
    classes: dict[Literal["small", "medium", "large"], bool] = {
        "small": words <= SHORT_WORDS,
        "medium": SHORT_WORDS <= words <= LONG_WORDS,
        "large": words >= LONG_WORDS,
    }
    return frozenset(name for name, belongs in classes.items() if belongs)


def unique_tokens(output: str) -> int:
    """Return the number of different words of an output, split at white space."""
    return len(set(output.split()))


def _squeezed(text: str) -> str:
    return text.lower().replace(" ", "")


def _f1(given: list[str], gold: list[str]) -> float:
    common = sum((Counter(given) & Counter(gold)).values())
    return 2 * common / (len(given) + len(gold)) if common else 0.0


# --- adapters: lm-eval's process_results(doc, results) ---


def factoid_newline(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of FreebaseQA after the prompt of the pruning script."""
    return {"hit": factoid_hit(factoid_prompt(doc["question"], "\n"), results[0], doc["answers"][0])}


def factoid_space(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of FreebaseQA after the prompt of the quantization script."""
    return {"hit": factoid_hit(factoid_prompt(doc["question"], " "), results[0], doc["answers"][0])}


def mcr(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of MMLU: `answer` is 0..3."""
    return {"hit": mcr_hit(results[0], "ABCD"[doc["answer"]])}


def icra(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of TriviaQA against the aliases of its `answer`, by the first line of the stripped output."""
    aliases = [doc["answer"]["value"], *doc["answer"]["aliases"]]
    output = results[0].strip().partition("\n")[0]
    return {"hit": icra_hit(output, aliases), "f1": icra_f1(output, aliases)}
