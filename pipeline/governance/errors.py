"""Every refusal and failure that a user can meet, each with one sentence, an exit code and an HTTP status.

SignoffError
├── InvalidInput            2  422   the request itself is malformed
├── Refused                 3  403   a rule says no
│   ├── NotAllowed                   the actor lacks the role
│   │   └── StaleLogin               the actor logged in too long ago to sign
│   ├── ApprovalsNeeded              the move needs signatures of others: it has to be requested
│   ├── NotAttested                  the approver has not confirmed every sentence that the policy asks for
│   ├── NotTried                     a version could not be tried here; nothing is known against it
│   ├── Blocked                      a gate in mode "prevent" failed
│   ├── WarningsNotAccepted          a gate in mode "warn" failed and nobody accepted it
│   └── NothingToDo                  the registry is already like that
├── Conflict                4  409   somebody or something was faster
│   ├── StateChanged                 the registry or the ledger is not what the actor looked at
│   ├── StaleEvidence                the evidence is not what the actor looked at
│   ├── RequestClosed                the request was applied, rejected or withdrawn, or has expired
│   ├── RequestStale                 what the request is bound to has changed
│   ├── DecisionPending              an earlier decision about the slot has not ended
│   ├── OutOfBand                    the slot was moved by another way; adopt or revert first
│   ├── KeyReused                    the idempotency key belongs to another request
│   └── LedgerBusy                   the ledger stayed locked
├── NotFound                5  404   no such model, version, alias, file or evidence
├── Unavailable             6  503   the registry or the ledger does not answer
└── IntegrityFailure        7  409   bytes or records are not what was recorded
"""

from typing import ClassVar


class SignoffError(Exception):
    """The root: `str(error)` is the sentence that a person reads."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500


class InvalidInput(SignoffError):
    """The request is malformed: it says what is wrong, where, and what is allowed."""

    exit_code = 2
    http_status = 422


class Refused(SignoffError):
    """A rule of the policy or of the lifecycle says no."""

    exit_code = 3
    http_status = 403


class NotAllowed(Refused):
    """The actor has none of the roles that the policy asks for, or may not sign what is their own."""


class ApprovalsNeeded(Refused):
    """The policy asks for signatures of other persons: the move has to be requested."""


class NotAttested(Refused):
    """The policy has sentences for each approver to confirm, and the approval leaves some out."""


class StaleLogin(NotAllowed):
    """The actor logged in too long ago to sign, or nobody says when."""


class NotTried(Refused):
    """A version could not be tried here: by the trust policy, or for want of an example or a library."""


class Blocked(Refused):
    """At least one gate in mode "prevent" did not pass."""


class WarningsNotAccepted(Refused):
    """Gates in mode "warn" did not pass, and the request does not accept the warnings."""


class NothingToDo(Refused):
    """The move would change nothing."""


class Conflict(SignoffError):
    """What the request builds on is no longer so."""

    exit_code = 4
    http_status = 409


class StateChanged(Conflict):
    """The slot is not in the state that the actor looked at."""


class StaleEvidence(Conflict):
    """The evidence is not what the actor looked at."""


class RequestClosed(Conflict):
    """The request was applied, rejected or withdrawn, or has expired."""


class RequestStale(Conflict):
    """Files, evidence, incumbent, rules or state are not those that the request is bound to."""


class DecisionPending(Conflict):
    """An earlier decision about the slot was recorded and has not ended."""


class OutOfBand(Conflict):
    """The registry differs from the ledger in this slot."""


class KeyReused(Conflict):
    """The idempotency key was used before, for another request."""


class LedgerBusy(Conflict):
    """The ledger's lock could not be had in time."""


class NotFound(SignoffError):
    """There is no such model, version, alias, file or piece of evidence."""

    exit_code = 5
    http_status = 404


class Unavailable(SignoffError):
    """The registry or the ledger does not answer; nothing is known about its state."""

    exit_code = 6
    http_status = 503


class IntegrityFailure(SignoffError):
    """Bytes or records are not what was recorded."""

    exit_code = 7
    http_status = 409
