"""What a lease in a cluster does when the API server has a bad day."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.core.limits import LEASE_RENEW_S, LEASE_S
from pipeline.store.cluster_lease import ClusterSlotLease
from pipeline.store.kubernetes import ClusterAccess, KubernetesLeaseRecords, NoClusterError
from pipeline.store.leases import LeaseConflictError, LeaseRecord, LeasesUnavailableError
from tests.contract.leases.api_server import ApiServer, serving
from tests.contract.leases.conftest import HandClock
from tests.mail_server import Certificate


@dataclass
class Cluster:
    api: ApiServer
    records: KubernetesLeaseRecords
    clock: HandClock
    folder: Path

    def lease(self, holder: str = "pod-a", shard: int = 0, shards: int = 1) -> ClusterSlotLease:
        return ClusterSlotLease(self.records, self.clock, shard=shard, shards=shards, holder=holder)

    def pass_time(self, seconds: float) -> None:
        self.clock.passed_s[0] += seconds

    async def held(self, holder: str = "pod-a", shard: int = 0, shards: int = 1) -> ClusterSlotLease:
        lease = self.lease(holder, shard, shards)
        await lease.acquire()
        self.pass_time(LEASE_S)
        assert await lease.acquire()
        return lease


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    api, clock = ApiServer(), HandClock()
    async with serving(api, folder) as access:
        records = KubernetesLeaseRecords(access, "blockline", clock)
        try:
            yield Cluster(api, records, clock, folder)
        finally:
            await records.aclose()


def tell(folder: Path, story: Callable[[Cluster], Awaitable[None]]) -> None:
    async def main() -> None:
        async with cluster(folder) as there:
            await story(there)

    asyncio.run(main())


def test_what_stands_in_the_cluster(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        await there.held("atlas-0-abc/7", 1, 4)
        lease = there.api.leases["blockline-slots-1"]
        assert lease["metadata"]["labels"] == {"app.kubernetes.io/name": "blockline", "blockline/pipeline": "blockline"}
        assert lease["metadata"]["annotations"] == {"blockline/slots": "64-127"}
        assert lease["spec"] == {
            "holderIdentity": "atlas-0-abc/7",
            "leaseDurationSeconds": 30,
            "renewTime": "2027-01-15T08:00:30.000000Z",
        }

    tell(tmp_path, story)


def test_who_takes_over_waits_a_full_period_by_its_own_clock(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        await there.held("pod-a")
        # What the record itself says of its age is another machine's clock, and isn't believed.
        there.api.leases["blockline-slots-0"]["spec"]["renewTime"] = "2001-01-01T00:00:00.000000Z"
        there.pass_time(1000)
        second = there.lease("pod-b")
        assert not await second.acquire()
        there.pass_time(LEASE_S - 0.01)
        assert not await second.acquire()
        there.pass_time(0.01)
        assert await second.acquire()

    tell(tmp_path, story)


def test_a_renewal_in_between_begins_the_wait_anew(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        first, second = await there.held("pod-a"), there.lease("pod-b")
        assert not await second.acquire()
        there.pass_time(LEASE_S - 1)
        await first.renew()
        assert first.remaining_s() == LEASE_S
        assert not await second.acquire()
        there.pass_time(LEASE_S - 1)
        assert not await second.acquire()

    tell(tmp_path, story)


def test_a_fresh_lease_asks_nobody(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        lease = await there.held()
        there.api.requests.clear()
        there.pass_time(LEASE_RENEW_S - 0.01)
        assert await lease.acquire()
        assert there.api.requests == []
        there.pass_time(0.01)
        assert await lease.acquire()
        assert there.api.requests == ["PUT"]

    tell(tmp_path, story)


def test_a_holder_that_was_taken_over_notices_at_its_next_renewal(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        first, second = await there.held("pod-a"), there.lease("pod-b")
        await second.acquire()
        there.pass_time(LEASE_S)  # pod-a stood still
        assert first.remaining_s() == 0
        assert await second.acquire()
        await first.renew()  # only acquiring takes a lease
        assert there.api.leases["blockline-slots-0"]["spec"]["holderIdentity"] == "pod-b"
        assert not await first.acquire()
        assert await second.acquire()

    tell(tmp_path, story)


def test_a_holder_whose_time_ran_out_goes_on_at_once_if_nobody_came(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        lease = await there.held()
        there.pass_time(LEASE_S * 3)
        assert lease.remaining_s() == 0
        assert await lease.acquire()

    tell(tmp_path, story)


def test_a_lost_answer_of_a_renewal_is_recognised(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        lease = await there.held()
        there.pass_time(LEASE_RENEW_S)
        there.api.answers_lost = 1
        assert await lease.acquire()
        assert lease.remaining_s() == LEASE_S - LEASE_RENEW_S  # not a moment more than what was answered for
        assert await lease.acquire()
        assert lease.remaining_s() == LEASE_S

    tell(tmp_path, story)


def test_a_lost_answer_of_taking_it_is_recognised(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        lease = there.lease()
        assert not await lease.acquire()
        there.pass_time(LEASE_S)

        def lose(method: str) -> None:
            there.api.answers_lost = int(method == "POST")

        there.api.before = lose
        assert not await lease.acquire()
        assert lease.remaining_s() == 0
        assert await lease.acquire()

    tell(tmp_path, story)


@pytest.mark.parametrize("trouble", ["503", "lost answers", "no token", "another token", "forbidden"])
def test_while_the_api_server_is_away_a_holder_keeps_what_it_has_and_no_more(tmp_path: Path, trouble: str) -> None:
    def begin(api: ApiServer) -> None:
        match trouble:
            case "503":
                api.failing = 10**6
            case "lost answers":
                api.answers_lost = 10**6
            case "no token":
                (tmp_path / "token").unlink()
            case "another token":
                api.token = "second-token"
            case _:
                api.is_allowed = False

    def end(api: ApiServer) -> None:
        api.failing = api.answers_lost = 0
        api.is_allowed = True
        (tmp_path / "token").write_text(api.token)

    async def story(there: Cluster) -> None:
        lease = await there.held()
        begin(there.api)
        for passed_s in range(5, 30, 5):
            there.pass_time(5)
            assert await lease.acquire()
            assert lease.remaining_s() == LEASE_S - passed_s
        there.pass_time(5)
        assert not await lease.acquire()
        end(there.api)
        assert await lease.acquire()

    tell(tmp_path, story)


def test_a_new_token_is_read_when_the_cluster_changes_it(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        lease = await there.held()
        there.api.token = "second-token"
        (there.folder / "token").write_text("second-token")
        there.pass_time(LEASE_RENEW_S)
        assert await lease.acquire()
        assert lease.remaining_s() == LEASE_S

    tell(tmp_path, story)


def test_a_record_deleted_under_its_holder_is_lost_and_waited_for(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        first, second = await there.held("pod-a"), there.lease("pod-b")
        there.api.leases.clear()
        assert not await second.acquire()  # pod-a may believe in it for a period
        there.pass_time(LEASE_RENEW_S)
        assert not await first.acquire()
        there.pass_time(LEASE_S - LEASE_RENEW_S)
        assert await second.acquire()

    tell(tmp_path, story)


def test_two_that_claim_the_same_slots_under_two_names_at_once_do_not_both_get_them(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        one, other = there.lease("pod-a", 0, 2), there.lease("pod-b", 1, 3)
        await asyncio.gather(one.acquire(), other.acquire())
        there.pass_time(LEASE_S)
        both_have_read = asyncio.Event()
        reads = 0
        list_all = there.records.list

        async def list_together() -> list[LeaseRecord]:
            nonlocal reads
            found = await list_all()
            reads += 1
            if reads == 2:
                both_have_read.set()
            await both_have_read.wait()
            return list(found)

        there.records.list = list_together  # type: ignore[method-assign]  # the worst moment, on purpose
        assert not all(await asyncio.gather(one.acquire(), other.acquire()))
        there.pass_time(LEASE_S + 1)
        assert await one.acquire()
        assert not await other.acquire()

    tell(tmp_path, story)


def test_another_pipeline_of_the_namespace_has_leases_of_its_own(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        await there.held()
        access = ClusterAccess("https://x", "workflows", there.folder / "token", there.folder / "ca.crt")
        others = KubernetesLeaseRecords(
            ClusterAccess(str(there.records._http.base_url), access.namespace, access.token_file, access.ca_file),
            "second",
            there.clock,
        )
        assert await others.list() == []
        await others.create(LeaseRecord("slots-0", "pod-x", 0, 255))
        assert [record.holder for record in await others.list()] == ["pod-x"]
        assert [record.holder for record in await there.records.list()] == ["pod-a"]
        await others.aclose()

    tell(tmp_path, story)


def test_compare_and_set(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        records = there.records
        made = await records.create(LeaseRecord("slots-0", "a", 0, 255))
        with pytest.raises(LeaseConflictError):
            await records.create(LeaseRecord("slots-0", "b", 0, 255))
        again = await records.replace(made)
        assert again.version != made.version
        with pytest.raises(LeaseConflictError):
            await records.replace(made)
        there.api.leases.clear()
        with pytest.raises(LeaseConflictError):
            await records.replace(again)
        assert there.api.leases == {}

    tell(tmp_path, story)


def test_a_server_under_another_certificate_is_not_believed(tmp_path: Path) -> None:
    async def story(there: Cluster) -> None:
        folder = tmp_path / "other"
        folder.mkdir()
        access = ClusterAccess(
            str(there.records._http.base_url), "workflows", tmp_path / "token", Certificate.make(folder).path
        )
        records = KubernetesLeaseRecords(access, "blockline", there.clock)
        with pytest.raises(LeasesUnavailableError, match="can't be reached"):
            await records.list()
        await records.aclose()

    tell(tmp_path, story)


def test_outside_a_cluster_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoClusterError, match="KUBERNETES_SERVICE_HOST"):
        ClusterAccess.in_pod({}, tmp_path)
    with pytest.raises(NoClusterError, match="service account"):
        ClusterAccess.in_pod({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)
    access = ClusterAccess("https://x", "n", tmp_path / "token", tmp_path / "nothing")
    with pytest.raises(NoClusterError, match="authority"):
        KubernetesLeaseRecords(access, "blockline", HandClock())
