"""The words that reports and leaderboards use, each with its meaning."""

from kick.reports.blocks import Term

INTERVAL = Term(
    "Interval",
    "every number in brackets is a 95 % interval; n is the number of items (for perplexity, of windows) "
    "behind it. With few items the intervals are wide, and a difference inside them is not a finding.",
)
FLOOR = Term(
    "Floor",
    "what the best answerer without knowledge scores on the same items: one that says nothing, gives the question "
    "back, always gives the most frequent answer, names all options, takes one option always or the first sentences "
    "of the passage, or guesses blindly (chance). A score whose interval reaches down to it shows no knowledge, "
    "whatever its recovery.",
)
VERDICT = Term(
    "Verdict",
    "the answer of a policy, the same wherever kick gives one. A policy has a margin and a smaller loss that it "
    "tolerates. ✓ pass: the loss is shown to be below the margin. ✗ regression: it is shown to be more than is "
    "tolerated. ? inconclusive: neither is shown, or something is missing. The bracket beside a mark holds the losses "
    "that the tests do not reject. A regression is corrected for all checks of all candidates of the results folder "
    "and rests on a minimum of changed items, so a bracket above the margin may still be marked ?.",
)

REPORT = (
    INTERVAL,
    Term(
        "Recovery",
        "candidate score / reference score on the same items. 100 % means that nothing was lost. For "
        "perplexity, which falls as a model gets better, the ratio candidate / reference is given instead.",
    ),
    Term(
        "Recovery above the floor",
        "the same with the floor taken off both scores: (candidate - floor) / (reference - floor), 0 for a candidate "
        "that scores no more than the floor. A task on which the reference is not shown to be above the floor "
        "(one-sided, 5 %) is not measurable: what it does not know cannot be lost.",
    ),
    Term(
        "Empty, repeated or equal answers",
        "their number is given where their share exceeds the reference's by more than 25 points. Such a score is not "
        "called kept, whatever it is.",
    ),
    Term(
        "Bits per byte",
        "the loss on a text by its bytes. It does not depend on how a tokenizer cuts the text, so models with "
        "different tokenizers can be compared.",
    ),
    Term(
        "Calibration",
        "whether a model that gives its choice 70 % is right in 70 % of such items. Brier score: the squared distance "
        "of its probabilities from the right answer, 0 to 2. Calibration error: the mean gap between probability and "
        "accuracy, in ten bins of equally many items. Lower is better for both.",
    ),
    Term(
        "Flip",
        "an item whose correctness changed. Two checkpoints can score the same while many items flip.",
    ),
    Term(
        "Knowledge loss",
        "of the items that the reference got right, the share that the candidate gets wrong; its n is the "
        "number of those items.",
    ),
    Term(
        "p",
        "the probability of a difference at least this large if the two checkpoints were equally good. "
        "Adjusted: the same after Holm's correction for all the comparisons of this report.",
    ),
    Term(
        "Noise floor",
        "how much the reference differs from itself under another batch size. A difference below it means "
        "nothing. If it was not measured, small differences cannot be told from numerical noise.",
    ),
    VERDICT,
    Term(
        "Tolerance",
        "LLM-KICK calls a compressed model matching if it stays within 5 % (relative) of its dense parent. "
        "The figures mark this with a line. A point above it shows little while its interval crosses it.",
    ),
    FLOOR,
)

BOARD = (
    Term(
        "Knowledge kept",
        "on a task: the entry's score above the floor as a share of that of its base model, on the same items "
        "(recovery above the floor). On a family: the same for the mean scores over its tasks. Overall: the mean "
        "over the families, each counting the same. Only an entry with all tasks of the board has an overall rank. "
        "A task on which a base model is not shown to be above the floor does not count for what is made from it: "
        "what it does not know cannot be lost. Where no floor was measured, it must be above chance, and recovery "
        "is that of the whole score.",
    ),
    Term(
        "Rank",
        "3–4 of 6 means: two entries are shown to be better than this one, and two are shown to be worse. Every two "
        "entries are compared on the same items, item by item, each against its own base model. They are told apart "
        "if a two-sided test of the difference stays below 5 % after Holm's correction over all pairs of the column, "
        "so all ranks of a column hold together at 95 %. Entries that cannot be told apart "
        "share ranks, however their means differ. A filter changes no rank.",
    ),
    VERDICT,
    Term(
        "Perplexity",
        "entry / base model, lower is better. No rank is based on it.",
    ),
    Term(
        "Bits",
        "as the recipe states them; in brackets 8 × stored bytes / parameters of the whole model, which includes "
        "scales and embeddings. If no recipe is known, the latter alone. Weights that were rounded but are stored "
        "in 16 bits keep the size of the dense model.",
    ),
    Term(
        "Refused",
        "entries whose stored results are not what was written (kick verify), that were scored on another plan than "
        "the board's, or whose weights are on the board already. The first results folder that scored a task sets "
        "its plan.",
    ),
    INTERVAL,
    FLOOR,
)
