"""Sessions read botocore's descriptions as botocore does, once; clients are made as s3fs makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ProfileNotFound, UnknownServiceError
from botocore.loaders import Loader

from fsync.storage.s3_descriptions import descriptions
from fsync.storage.s3_session import open_async_session, open_session

BOTH = pytest.mark.parametrize("opened", [open_session, open_async_session])


@BOTH
@pytest.mark.parametrize(
    ("service", "kind"), [("s3", "service-2"), ("sts", "service-2"), ("s3", "endpoint-rule-set-1")]
)
def test_descriptions_are_botocores_own(opened: Callable[[str | None], Any], service: str, kind: str) -> None:
    # clients change what they are made from
    descriptions.cache_clear()
    own = AioSession().get_component("data_loader").load_service_model(service, kind)
    read = opened(None).get_component("data_loader").load_service_model(service, kind)
    assert read == own
    assert list(read) == list(own)


def test_services_of_other_places_are_found(tmp_path: Path) -> None:
    place = tmp_path / "own" / "2000-01-01"
    place.mkdir(parents=True)
    (place / "service-2.json").write_text('{"metadata": {}}')
    mine, theirs = descriptions(str(tmp_path)), Loader(extra_search_paths=[str(tmp_path)])
    assert mine.search_paths == theirs.search_paths
    assert mine.load_service_model("own", "service-2") == theirs.load_service_model("own", "service-2")
    for kind in ("service-2", "paginators-1", "nothing"):
        assert list(mine.list_available_services(kind)) == theirs.list_available_services(kind)
    assert "own" in mine.list_available_services("service-2")
    assert "own" not in mine.list_available_services("paginators-1")


def test_two_sessions_read_them_once() -> None:
    one, other = (session(None).get_component("data_loader") for session in (open_session, open_async_session))
    assert one is other
    assert one.load_data("endpoints")["partitions"]


@BOTH
def test_what_is_not_there_is_botocores_error(opened: Callable[[str | None], Any]) -> None:
    with pytest.raises(UnknownServiceError, match=r"'nothing'.*accessanalyzer"):
        opened(None).get_component("data_loader").load_service_model("nothing", "service-2")


@BOTH
def test_a_profile_that_is_not_there_is_an_error_of_the_first_request(opened: Callable[[str | None], Any]) -> None:
    session = opened("no-such-profile")
    with pytest.raises(ProfileNotFound):
        session.get_scoped_config()
