"""A policy becomes verdicts: the one rule by which a candidate passes, is a regression, or cannot be told yet.

Everything that marks, colours or ranks a candidate by a verdict reads it here, so one results folder has one answer:

    from kick.gating import gate, mark, perplexity_warned, verdicts

    result = verdicts(store, "regression")            # a GateResult; what is missing is kept, never a pass
    verdict = result.verdict("rtn-4")                 # a Verdict: outcome, checks, missing
    check = verdict.check("kick_mmlu")                # a Check of a task, a perplexity text or a family
    mark(check)                                       # ✓ ✗ ?, also of a verdict and of a family
    check.loss                                        # an Estimate: the loss and the bracket that the mark rests on
    in_words(check)                                   # the loss as text, readable however large it is
    perplexity_warned(verdict)                        # "yes", "no: silent loss", ...
    verdict.family("factoid_qa")                      # a FamilyScore: what is kept of a family, and its outcome
    family_members(tasks)                             # the one definition of a family
    next_command(store, result)                       # the command that would decide what is inconclusive
    gate(store, "regression")                         # the same verdicts, refused (InputError) if anything is missing
    Judging(reader, "regression")                     # verdicts in the making, for whoever reads the items as well
    sequential_verdicts(store, "regression")          # verdicts that hold at every look of a folder that grows

The rule is explained in `kick.gating.rule`: three zones (margin and tolerated loss), a two-sided bracket and a mark of
one level, a minimum of changed items for a regression. `p_loss` is corrected over all candidates and checks of the
folder, so a folder in which no candidate loses more than is tolerated turns red with a chance of at most alpha.

A family is the tasks with its name on which higher is better, and of which the reference knows something; its score is
their unweighted mean, and what is kept of it the ratio of the candidate's mean to the reference's.
"""

from kick.gating.families import family_members
from kick.gating.judgement import Judging, gate, next_command, verdicts
from kick.gating.policy_file import Policy, Rule
from kick.gating.rule import MARKS, mark
from kick.gating.sequential import sequential_verdicts
from kick.gating.warning import perplexity_warned
from kick.gating.wording import in_words

__all__ = [
    "MARKS",
    "Judging",
    "Policy",
    "Rule",
    "family_members",
    "gate",
    "in_words",
    "mark",
    "next_command",
    "perplexity_warned",
    "sequential_verdicts",
    "verdicts",
]
