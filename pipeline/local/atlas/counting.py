"""What the embedded Atlas tells of itself."""

from typing import Final

from pipeline.process.metrics import counter, gauge

OUTBOX_PENDING: Final = gauge(
    "blockline_outbox_pending",
    "Events of the embedded Atlas that weren't sent to the broker, or not handled.",
    unit="events",
    action="The broker is away (the log says so), or the pipeline is slower than what is written.",
)
LOGIN_FAILURES: Final = counter(
    "blockline_api_login_failures_total",
    "Refused user names, passwords and tokens.",
    unit="requests",
    action="Somebody guesses, or a client kept an old password; from one address the tenth within a minute is refused.",
)
