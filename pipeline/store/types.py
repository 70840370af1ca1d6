"""Names of the engine's types and attributes in Atlas (pyatlan's own where it has one)."""

from typing import Final

RUN: Final = "WorkflowRun"
WORKFLOW: Final = "Workflow"
ITEM: Final = "Task"
COMMAND: Final = "WorkflowRunCommand"
OUTPUT: Final = "WorkflowRunOutput"
DEAD_LETTER: Final = "WorkflowDeadLetter"

ENGINE_TYPES: Final = frozenset({RUN, WORKFLOW, ITEM, COMMAND, OUTPUT, DEAD_LETTER})
"""What the engine owns: nobody else changes it, blocks included."""
TERM: Final = "AtlasGlossaryTerm"
MEANINGS: Final = "meanings"
"""The relationship from an asset to its glossary terms."""
ASSIGNMENT: Final = "AtlasGlossarySemanticAssignment"
"""The type of that relationship."""

# WorkflowRun; * = includeInNotification
RUN_REQUEST: Final = "workflowRunRequest"  # * sealed text, the creator's, never changed
RUN_CONFIG: Final = "workflowRunConfig"  # * sealed text: the document, the shard's
RUN_STATUS: Final = "workflowRunStatus"  # *
RUN_WAKE_AT: Final = "workflowRunWakeAt"  # * long, ms; 0 = over
RUN_WORKFLOW_GUID: Final = "workflowRunWorkflowGuid"
RUN_ON_ASSET_GUID: Final = "workflowRunOnAssetGuid"
RUN_EXPIRES_AT: Final = "workflowRunExpiresAt"
RUN_CREATED_BY: Final = "workflowRunCreatedBy"

# Workflow
WORKFLOW_CONFIG: Final = "workflowConfig"
WORKFLOW_STATUS: Final = "workflowStatus"
WORKFLOW_VERSION: Final = "workflowVersion"  # int; 0 = the draft
WORKFLOW_DIGEST: Final = "workflowDigest"
WORKFLOW_CREATED_BY: Final = "workflowCreatedBy"
WORKFLOW_LABELS: Final = "workflowLabels"

# Task (an inbox item)
ITEM_RUN_GUID: Final = "workflowTaskRunGuid"
ITEM_TASK: Final = "workflowTaskName"
ITEM_STATUS: Final = "workflowTaskStatus"  # ItemStatus
ITEM_OPENED_AT: Final = "workflowTaskOpenedAt"  # long, ms
ITEM_BODY: Final = "workflowTaskBody"
ITEM_ASSET: Final = "workflowTaskAsset"  # JSON text: guid, type_name, name
ITEM_OPTIONS: Final = "workflowTaskOptions"  # JSON text: list of options
ITEM_FORM: Final = "workflowTaskForm"  # JSON text: the schema of what is filled in with the decision
ITEM_RECIPIENT: Final = "taskRecipient"
ITEM_REQUESTER: Final = "taskRequestor"
ITEM_ON_ASSET_GUID: Final = "taskRelatedAssetGuid"
ITEM_DUE_AT: Final = "taskExpiresAt"  # date, ms; 0 = none
ITEM_ACTION: Final = "taskExecutionAction"  # * the decision
ITEM_COMMENT: Final = "taskExecutionComment"
ITEM_UPDATED_BY: Final = "taskUpdatedBy"

# WorkflowRunCommand
COMMAND_RUN_GUID: Final = "workflowRunCommandRunGuid"
COMMAND_REQUEST: Final = "workflowRunCommandRequest"  # * sealed text
COMMAND_STATUS: Final = "workflowRunCommandStatus"  # * CommandStatus
COMMAND_REASON: Final = "workflowRunCommandReason"
COMMAND_AT: Final = "workflowRunCommandAt"  # long, ms

# WorkflowRunOutput: never changed
OUTPUT_RUN_GUID: Final = "workflowRunOutputRunGuid"
OUTPUT_TASK: Final = "workflowRunOutputTask"
OUTPUT_TEXT: Final = "workflowRunOutputText"  # canonical JSON
OUTPUT_SHA256: Final = "workflowRunOutputSha256"  # for people; what is believed stands in the document
OUTPUT_BYTES: Final = "workflowRunOutputBytes"  # long

# WorkflowDeadLetter
DEAD_LETTER_REASON: Final = "workflowDeadLetterReason"
DEAD_LETTER_VERTEX: Final = "workflowDeadLetterVertex"
DEAD_LETTER_RUN_GUID: Final = "workflowDeadLetterRunGuid"
DEAD_LETTER_PAYLOAD: Final = "workflowDeadLetterPayload"  # base64
DEAD_LETTER_BYTES: Final = "workflowDeadLetterBytes"
DEAD_LETTER_SHA256: Final = "workflowDeadLetterSha256"
DEAD_LETTER_OFFSET: Final = "workflowDeadLetterOffset"
DEAD_LETTER_AT: Final = "workflowDeadLetterAt"
DEAD_LETTER_REPLAY: Final = "workflowDeadLetterReplay"  # sealed text: who asked for it, of which bytes
DEAD_LETTER_REPLAY_STATUS: Final = "workflowDeadLetterReplayStatus"  # ReplayStatus; absent = never asked for
DEAD_LETTER_REPLAY_BY: Final = "workflowDeadLetterReplayBy"
DEAD_LETTER_REPLAY_AT: Final = "workflowDeadLetterReplayAt"  # long, ms; when it was asked for
DEAD_LETTER_REPLAYED_AT: Final = "workflowDeadLetterReplayedAt"  # long, ms; when the pipeline took it
DEAD_LETTER_REPLAY_NOTE: Final = "workflowDeadLetterReplayNote"
