"""Sessions read botocore's descriptions as botocore does, once."""

from __future__ import annotations

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ProfileNotFound, UnknownServiceError

from fsync.storage.s3_session import _descriptions, open_session


@pytest.mark.parametrize(
    ("service", "kind"), [("s3", "service-2"), ("sts", "service-2"), ("s3", "endpoint-rule-set-1")]
)
def test_descriptions_are_botocores_own(service: str, kind: str) -> None:
    # clients change what they are made from
    _descriptions.cache_clear()
    own = AioSession().get_component("data_loader").load_service_model(service, kind)
    read = open_session(None).get_component("data_loader").load_service_model(service, kind)
    assert read == own
    assert list(read) == list(own)


def test_two_sessions_read_them_once() -> None:
    one, other = (open_session(None).get_component("data_loader").load_data("endpoints") for _ in range(2))
    assert one is other
    assert one["partitions"]


def test_what_is_not_there_is_botocores_error() -> None:
    with pytest.raises(UnknownServiceError):
        open_session(None).get_component("data_loader").load_service_model("nothing", "service-2")


def test_a_profile_that_is_not_there_is_an_error_of_the_first_request() -> None:
    session = open_session("no-such-profile")
    with pytest.raises(ProfileNotFound):
        session.get_scoped_config()
