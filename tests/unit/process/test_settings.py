from pathlib import Path

import pytest

from pipeline.process.settings import (
    SettingError,
    as_page,
    client_settings,
    server_settings,
    variable_of,
    vertex_settings,
)

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == as_page(), "run `python -m pipeline.process.settings_page`"


def test_a_flag_wins_over_the_environment() -> None:
    environment = {"BLOCKLINE_PORT": "1", "BLOCKLINE_DATA": "there"}
    settings = server_settings(environment, {"port": 2, "data": None})
    assert (settings.port, settings.data, settings.host) == (2, "there", "127.0.0.1")


def test_names_of_variables_have_no_is() -> None:
    assert variable_of("is_isolated") == "BLOCKLINE_ISOLATED"
    assert server_settings({"BLOCKLINE_ISOLATED": "yes"}).is_isolated
    assert not server_settings({"BLOCKLINE_ISOLATED": "0"}).is_isolated


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BLOCKLINE_PORT", "many"),
        ("BLOCKLINE_PORT", "70000"),
        ("BLOCKLINE_SHARDS", "0"),
        ("BLOCKLINE_SHARDS", "257"),
        ("BLOCKLINE_ISOLATED", "perhaps"),
        ("BLOCKLINE_TRANSPORT", "carrier pigeon"),
        ("BLOCKLINE_LOG_LEVEL", "LOUD"),
        ("BLOCKLINE_LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_value_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingError, match=variable if variable != "BLOCKLINE_PORT" or value == "many" else "port"):
        server_settings({variable: value})


def test_a_client_is_told_where_and_who() -> None:
    settings = client_settings({"BLOCKLINE_USER": "sam", "BLOCKLINE_PASSWORD": "p"}, {"url": "http://127.0.0.1:9"})
    assert (settings.url, settings.user, settings.password) == ("http://127.0.0.1:9", "sam", "p")


def test_a_vertex_tells_no_numbers_unless_it_has_a_port_and_to_its_own_machine_alone() -> None:
    settings = vertex_settings({})
    assert (settings.metrics_port, settings.metrics_host) == (0, "127.0.0.1")
    for given in ("-1", "65536", "web"):
        with pytest.raises(SettingError, match="BLOCKLINE_METRICS_PORT is a number"):
            vertex_settings({"BLOCKLINE_METRICS_PORT": given})
