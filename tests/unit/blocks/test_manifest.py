import pytest

from pipeline.blocks.manifest import ManifestError, parse_manifest

GOOD = """
type = "ECHO"
title = "Echo"
summary = "Says it again."
category = "Data"
icon = "repeat"
owners = ["team"]
stability = "beta"
delivery = "pure"
timeout_seconds = 5
"""


def test_defaults_are_those_of_the_engine() -> None:
    manifest = parse_manifest(GOOD, "echo")
    assert (manifest.lease_seconds, manifest.retry, manifest.replicas.min, manifest.replicas.max) == (30, (), 1, 8)
    assert not manifest.is_human


def test_retriers_are_written_out_in_the_words_of_the_language() -> None:
    manifest = parse_manifest(GOOD + '[[retry]]\nerrorEquals = ["Task.ALL"]\n', "echo")
    assert manifest.retry_json == [
        {
            "errorEquals": ["Task.ALL"],
            "intervalSeconds": 1,
            "maxAttempts": 3,
            "backoffRate": 2,
            "jitterStrategy": "NONE",
        }
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("type = ", "block.toml of echo isn't TOML"),
        (GOOD.replace('"ECHO"', '"echo"'), "type should match pattern"),
        (GOOD.replace('title = "Echo"\n', ""), "title is missing"),
        (
            GOOD.replace("timeout_seconds", "timeout_second"),
            "timeout_second isn't known here; did you mean timeout",
        ),
        (GOOD.replace('"pure"', '"twice"'), "delivery must be 'pure', 'once' or 'at-least-once'"),
        (GOOD.replace("= 5", "= 5000"), "timeout_seconds should be less than or equal to 3600"),
        (GOOD + '[[retry]]\nerrorEquals = ["Http.418"]\n', "retry.0.errorEquals.0 should match"),
        (GOOD + "[replicas]\nmin = 3\nmax = 2\n", "replicas.min is more than replicas.max"),
        (GOOD + 'blocking = true\nneeds = ["public_url", "mailer"]\n', "blocking = true has no mailer: a port belongs"),
        (GOOD + "lease_seconds = 1\n", "lease_seconds should be greater"),
    ],
)
def test_what_is_wrong_is_said(text: str, sentence: str) -> None:
    with pytest.raises(ManifestError, match=sentence.replace("(", r"\(").replace("?", r"\?")):
        parse_manifest(text, "echo")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(GOOD.replace('"ECHO"', "5").replace('"beta"', '"done"'), "echo")
    assert "type must be text" in str(caught.value)
    assert "stability must be" in str(caught.value)
