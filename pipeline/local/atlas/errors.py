"""What is answered instead of a result, in Atlas' own form: ``{"errorCode", "errorMessage"}``.

Codes and statuses are those of Apache Atlas (``AtlasErrorCode``); Atlas has none for 401 and 501.
"""

from enum import Enum

from pipeline.core.errors import BlocklineError


class Code(Enum):
    """Status and code of a refusal."""

    UNKNOWN_TYPENAME = (400, "ATLAS-400-00-00A")
    TYPE_NAME_INVALID = (400, "ATLAS-400-00-014")
    UNIQUE_ATTRIBUTE_MISSING = (400, "ATLAS-400-00-013")
    UNKNOWN_ATTRIBUTE = (400, "ATLAS-400-00-023")
    INVALID_PARAMETERS = (400, "ATLAS-400-00-01A")
    BAD_REQUEST = (400, "ATLAS-400-00-029")
    INVALID_TYPE_DEFINITION = (400, "ATLAS-400-00-011")
    ATTRIBUTE_UPDATE = (400, "ATLAS-400-00-027")
    ATTRIBUTE_DELETION = (400, "ATLAS-400-00-00D")
    MANDATORY_ATTRIBUTE_ADDED = (400, "ATLAS-400-00-00C")
    UNKNOWN_CLASSIFICATION = (400, "ATLAS-400-00-046")
    CLASSIFICATION_RESTRICTED = (400, "ATLAS-400-00-055")
    CLASSIFICATION_NOT_ON = (400, "ATLAS-400-00-06D")
    CUSTOM_NAME_LENGTH = (400, "ATLAS-400-00-08C")
    CUSTOM_NAME_CHARACTERS = (400, "ATLAS-400-00-08D")
    CLASSIFICATION_NOT_FOUND = (404, "ATLAS-404-00-008")
    CLASSIFICATIONS_NONE = (404, "ATLAS-404-00-003")
    UNAUTHENTICATED = (401, "BLOCKLINE-401")
    FORBIDDEN = (403, "ATLAS-403-00-001")
    TYPE_NOT_FOUND = (404, "ATLAS-404-00-001")
    GUID_NOT_FOUND = (404, "ATLAS-404-00-005")
    INVALID_ENTITY = (404, "ATLAS-404-00-007")
    NAME_NOT_FOUND = (404, "ATLAS-404-00-009")
    REFERENCE_NOT_FOUND = (404, "ATLAS-404-00-00A")
    TYPE_EXISTS = (409, "ATLAS-409-00-001")
    TOO_LARGE = (413, "BLOCKLINE-413")
    TOO_MANY = (429, "BLOCKLINE-429")
    NOT_HERE = (501, "BLOCKLINE-501")
    UNAVAILABLE = (503, "BLOCKLINE-503")


class AtlasError(BlocklineError):
    """A request is refused; the text is one sentence."""

    def __init__(self, code: Code, message: str) -> None:
        """``message`` goes to the caller as it is."""
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.code.value[0]

    def body(self) -> dict[str, str]:
        """What the caller gets."""
        return {"errorCode": self.code.value[1], "errorMessage": str(self)}
