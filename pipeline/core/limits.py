"""Every limit of the engine, with its unit last in the name.

Sources: DESIGN of the engine ("Limits"), the spec language (depends, tasks), Numaflow's 1 MiB message.
"""

from typing import Final

DOCUMENT_BYTES_MAX: Final = 256 * 1024
"""A run's document in Atlas, input and asset snapshot included."""
DOCUMENT_RESERVE_BYTES: Final = 16 * 1024
"""Part of the document that only failure messages may use, so that a run can always say why it failed."""
SPEC_BYTES_MAX: Final = 192 * 1024
"""A spec as it is stored; what is left of the document is for input, asset, statuses and outputs."""
TASKS_MAX: Final = 500
DEPENDS_BYTES_MAX: Final = 4 * 1024
DEPENDS_DEPTH_MAX: Final = 32
DEPENDS_OPERANDS_MAX: Final = 256
TASK_NAME_CHARS_MAX: Final = 128
EXPRESSION_CHARS_MAX: Final = 4 * 1024
EXPRESSION_GROWTH_MAX: Final = 256
"""How often an expression may repeat a value in its result, by ``+`` and by lists, over all its macros multiplied."""
EXPRESSION_MACROS_MAX: Final = 16
EXPRESSION_TEXT_BYTES_MAX: Final = 128 * 1024 * 1024
"""Text that joining strings inside a macro may make, at worst, given the values at hand."""
EXPRESSION_COMPARED_MAX: Final = 50_000_000
"""Values that comparing the result of a ``map`` may look at, at worst, given the values at hand; one takes 20 ns."""
RESOLVED_BYTES_MAX: Final = 512 * 1024
"""What the templates of one task may stand for, together; half of what a message may carry."""
INPUT_SCHEMA_BYTES_MAX: Final = 32 * 1024
SCHEMA_STEPS_MAX: Final = 200_000
"""Keywords that checking one input may apply: a schema of few lines can ask for ever more by its references."""
SPAN_S_MAX: Final = 366 * 24 * 3600
"""The longest time-out or delay of a task, in seconds."""
WAIT_DAYS_MAX: Final = 366
WAIT_MS_MAX: Final = WAIT_DAYS_MAX * 24 * 3600 * 1000
"""The longest a WAIT may wait."""
CASES_MAX: Final = 50
"""Cases of one SWITCH."""
CASE_NAME_CHARS_MAX: Final = 128
RETRIES_MAX: Final = 100
RETRIERS_MAX: Final = 20
LABELS_MAX: Final = 50
TITLE_CHARS_MAX: Final = 256
INPUT_BYTES_MAX: Final = 64 * 1024
JSON_DEPTH_MAX: Final = 64
OUTPUT_INLINE_BYTES_MAX: Final = 4 * 1024
"""Of an output in the run's document; a larger one becomes an entity of its own."""
OUTPUT_ENTITY_BYTES_MAX: Final = 768 * 1024
OUTPUT_STAYS_BYTES: Final = 256
"""An output up to this always stays in the document: what would stand there instead takes half of it."""
OUTPUTS_SHOWN_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of outputs that are entities, in one answer about one run; each of them can be asked for alone."""
RESULT_BYTES_MAX: Final = 1024 * 1024
"""A message on an edge; above it Numaflow 1.8.3 retries for ever and blocks the vertex."""
ERROR_MESSAGE_CHARS_MAX: Final = 500
ERROR_MESSAGE_BYTES_MAX: Final = 1000
"""Of UTF-8, beside the limit of characters: 500 emoji would take four times the room."""
COMMENT_CHARS_MAX: Final = 4000
LATE_RESULTS_MAX: Final = 10
APPLIED_MARKS_MAX: Final = 10
"""Marks of results that counted, kept a task to tell a duplicate from a late one."""
STATE_BYTES_MAX: Final = 32 * 1024
"""What a WAITING task keeps in the document for its block, approval included; a hundred approvers fit."""
DECISION_COMMENT_CHARS_MAX: Final = 1000
"""Of a decision's comment in the document; the command and the inbox item keep all of it."""
REFUSALS_KEPT_MAX: Final = 20
"""Refused commands whose verdict a run remembers; applied ones are known by what they left."""
ACTIONS_KEPT_MAX: Final = 20
"""Applied actions (pause, resume, skip, resolve) that a run's document remembers; the commands keep all of them."""
ACTION_COMMENT_CHARS_MAX: Final = 200
"""Of an action's comment in the document; the command keeps all of it."""
RETRY_DELAY_MAX_S: Final = 31_622_400
"""A year: the longest delay of a retrier (as in ASL) and the longest Retry-After that is honoured."""
RECIPIENTS_MAX: Final = 100
"""Inbox items one task may open; also the most entities one result may carry."""
ENTITIES_A_RESULT_MAX: Final = 100
CHANGED_ATTRIBUTES_MAX: Final = 100
"""Attributes that one METADATA task may name."""
CHANGED_VALUES_MAX: Final = 500
"""Values that one METADATA task may add to a list, or take out of it."""
OPTIONS_MAX: Final = 10
OPTION_CHARS_MAX: Final = 64
FORM_SCHEMA_BYTES_MAX: Final = 8 * 1024
"""Of the form of a question: it stands in the run's document and on every inbox item."""
FORM_BYTES_MAX: Final = 2 * 1024
"""Of a filled-in form: it becomes part of an output, of which 4 KiB are kept."""
DELEGATION_CHAIN_MAX: Final = 5
"""How often one question to one person may be handed on."""
DELEGATIONS_MAX: Final = 50
"""Of all those who are asked one question."""
REMINDERS_MAX: Final = 10
DEAD_LETTER_PAYLOAD_BYTES_MAX: Final = 256 * 1024

NOTIFICATION_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of a notification of Atlas when it is unpacked; one that is larger isn't read."""
PARTS_OF_A_MESSAGE_MAX: Final = 64
PARTS_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of all the parts that wait for the others of their message, in one reader."""
PARTS_WAIT_S: Final = 120.0
"""How long a part waits for the others; Atlas sends them one right after the other."""

RETENTION_DAYS_MAX: Final = 36_500
"""How long ended runs can be kept in the store, unless for ever."""
RETENTION_DAYS_DEFAULT: Final = 90
RETENTION_BATCH_RUNS: Final = 50
"""Ended runs that are archived and purged in one go."""
RETENTION_BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of runs in one batch, as they stand in the archive before it is packed; a run that is larger is a batch."""
RETENTION_REST_S: Final = 1.0
"""Between two batches, so that whoever waits for the store gets a turn: at most 50 runs a second leave it."""
RETENTION_PASS_S: Final = 3600.0
"""Between two passes."""
RETENTION_FIRST_S: Final = 60.0
"""From the start of `blockline up` to the first pass."""

OPENED_RUNS_CHARS_MAX: Final = 4 * 1024 * 1024
"""Of the sealed texts whose runs a process keeps opened: a thousand documents of 4 kB, some 40 MB with their runs."""

SLOTS: Final = 256
"""Parts of the run space; never changes, whatever the number of sinks."""

WAKE_UP_MAX_MS: Final = 60 * 60 * 1000
"""A living run is looked at at least this often."""
DISPATCH_LEASE_MS: Final = 30_000
DISPATCH_LEASE_MAX_MS: Final = 10 * 60 * 1000
DECISION_GRACE_MS: Final = 5_000
"""The engine expires an approval this much (plus the clock skew) after people are refused."""
CLOCK_SKEW_MAX_MS: Final = 2_000
COMMAND_OPEN_TICK_MS: Final = 5_000
"""A command that has been open this long makes the timer tick its run."""
COMMAND_WAIT_S: Final = 5.0
"""The API waits this long for a verdict before it answers 202."""
LEASE_S: Final = 30.0
LEASE_RENEW_S: Final = 5.0
STORE_WRITE_TIMEOUT_S: Final = 10.0
HTTP_BODY_BYTES_MAX: Final = 512 * 1024
"""Of the answer to an HTTP task, unpacked as well as packed; with its headers it fits into an output's entity."""
HTTP_PROBLEM_BYTES_MAX: Final = 16 * 1024
"""Of the body of a refusal, which is read for its reason alone."""
HTTP_REDIRECTS_MAX: Final = 5
HTTP_HEADERS_MAX: Final = 50
HTTP_HEADER_CHARS_MAX: Final = 8 * 1024
HTTP_URL_CHARS_MAX: Final = 8 * 1024
HTTP_CONNECT_TIMEOUT_S: Final = 10.0
"""For one address to take the connection, TLS included; a task's time-out covers everything."""
HTTP_ADDRESSES_MAX: Final = 4
"""Addresses of one name that are tried."""
HTTP_LOOK_UPS_MAX: Final = 16
"""Names a process looks up at the same time; one that hangs holds a thread until the system gives up."""
SECRET_CHARS_MIN: Final = 8
"""Shorter ones can't be masked in answers: too much else would be."""
SECRET_BYTES_MAX: Final = 64 * 1024
DIRECTORY_TIMEOUT_S: Final = 5.0
"""Of one request to the directory, from the connection to the last byte."""
DIRECTORY_ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
DIRECTORY_PAGES_MAX: Final = 100
"""Of one question; pages have 100 entries where the directory sends as many as it is asked for."""
DIRECTORY_MEMBERS_MAX: Final = 500
"""Members of a group that are listed; a larger one is asked as a group."""
DIRECTORY_ASKED_AT_ONCE_MAX: Final = 8
"""Questions about the members of one group that are asked at the same time."""
DIRECTORY_KEPT_S: Final = 5.0
"""How old an answer may be that isn't asked for again."""
DIRECTORY_KEPT_ANSWERS_MAX: Final = 2_000
TRACE_SPANS_QUEUED_MAX: Final = 8_192
"""Spans that wait for the collector, about 8 MB; more are dropped and counted."""
TRACE_SPANS_SENT_MAX: Final = 512
"""In one request."""
TRACE_SEND_S: Final = 1.0
"""How long a span waits for others to go with."""
TRACE_TIMEOUT_S: Final = 5.0
"""Of one request to the collector, tries included."""
TRACE_STOP_S: Final = 3.0
"""At a stop: for what still waits."""
TRACE_TELL_S: Final = 60.0
"""How often the log says that spans were lost."""
TRACE_LINKS_MAX: Final = 64
"""Of one span."""
