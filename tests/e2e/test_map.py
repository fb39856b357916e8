"""Who gets which frame: what workers saw against what the map says."""

import pytest

from witness import events_of, expected_events, one_each


def transposed_rows(events):
    """Three streams: `fast` in every event, `slow` in every fourth, half of these thrown away, and
    `wide` shared by the two constraints of its event. Constraints are used by three events each."""
    rows = {"fast": [], "slow": [], "wide": []}
    for e in range(events):
        one, two = {"constraint": 2 * (e // 3)}, {"constraint": 2 * (e // 3) + 1}
        rows["fast"].append([one])
        rows["slow"].append(None if e % 4 else [two] if e % 8 else [])
        rows["wide"].append([one, two])
    return rows


def play(instruments, rows):
    """Each instrument sends what its row of the map has a place for, as a series of its own."""
    for instrument in instruments:
        instrument.series_of(sum(slot is not None for slot in rows[instrument.name]))


def test_every_worker_gets_exactly_what_the_map_says(cluster, instrument, witness):
    events = 480
    rows = transposed_rows(events)
    cluster.configure(streams=list(rows), workers=2, **witness.settings(pause_us=500))
    parts = cluster.start_parts(worker_processes=2)
    instruments = [instrument(stream) for stream in rows]
    scan = cluster.begin(rows)
    play(instruments, rows)
    progress = cluster.wait_for_end(scan)
    assert progress["fates"]["folded"] == events + 2

    journals = witness.journals()
    assert len(journals) == 4
    assert all(len(witness.of_process(parts[p].pid)) == 2 for p in ("worker0", "worker1"))
    expected = expected_events(instruments, rows)
    assert events_of(journals) == expected

    # Start and end are for everybody, and everybody had something to do in between.
    for journal in journals.values():
        for edge in (0, events + 1):
            assert journal[edge] == expected[edge]
        assert len(journal) > 2

    worker_of = {}
    for e in range(1, events + 1):
        got = {name: set(journal[e]) for name, journal in journals.items() if e in journal}
        owner = {"one": [n for n, streams in got.items() if "fast" in streams]}
        assert len(owner["one"]) == 1, f"event {e}: {got}"
        if "slow" in expected[e]:
            owner["two"] = [n for n, streams in got.items() if "slow" in streams]
            assert len(owner["two"]) == 1, f"event {e}: {got}"
        assert len(got) <= 2 and all("wide" in streams for streams in got.values()), f"event {e}: {got}"
        # One constraint, one worker.
        for which, (name,) in owner.items():
            assert worker_of.setdefault(((e - 1) // 3, which), name) == name, f"event {e}"


def test_pairing_of_two_streams_with_a_shared_one(cluster, instrument, witness):
    """Example 2 of the map's semantics: neighbouring events share no worker by number, the shared
    stream goes wherever one of its constraints does."""
    rows = {"eiger": [[{"constraint": 2}], [{"constraint": 4}]],
            "orca": [[{"constraint": 3}], [{"constraint": 5}]],
            "alba": [[{"constraint": 2}, {"constraint": 3}], [{"constraint": 4}, {"constraint": 5}]]}
    cluster.configure(streams=list(rows), workers=3, **witness.settings())
    cluster.start_all()
    instruments = [instrument(stream) for stream in rows]
    scan = cluster.begin(rows)
    play(instruments, rows)
    cluster.wait_for_end(scan)

    journals = witness.journals()
    assert events_of(journals) == expected_events(instruments, rows)
    for e in (1, 2):
        for journal in journals.values():
            assert e not in journal or "alba" in journal[e]


def test_null_reads_nothing_and_an_empty_list_throws_away(cluster, instrument, witness):
    """Example 3: the second frame of `slow` is read, for event 4, and dropped."""
    rows = {"fast": one_each(4), "slow": [None, [{"constraint": 1}], None, []]}
    cluster.configure(streams=list(rows), **witness.settings())
    cluster.start_all()
    instruments = [instrument(stream) for stream in rows]
    scan = cluster.begin(rows)
    play(instruments, rows)
    cluster.wait_for_end(scan)

    together = events_of(witness.journals())
    assert together == expected_events(instruments, rows)
    assert [sorted(together[e]) for e in range(6)] == [
        ["fast", "slow"], ["fast"], ["fast", "slow"], ["fast"], ["fast"], ["fast", "slow"]]


def test_constraints_of_a_part_are_its_own(cluster, instrument, witness):
    """Example 5: the same constraint in three instances of parts, and a part without a stream."""
    parts = {"line": {"det": [[{"constraint": 0}], [{"constraint": 0}]]},
             "dark": {"det": [[]], "slow": [[{"constraint": 0}]]}}
    rows = {"det": [*parts["line"]["det"], [], *parts["line"]["det"]],
            "slow": [None, None, [{"constraint": 0}], None, None]}
    cluster.configure(streams=list(rows), **witness.settings())
    cluster.start_all()
    instruments = [instrument(stream) for stream in rows]
    scan = cluster.begin(parts, ["line", "dark", "line"])
    play(instruments, rows)
    progress = cluster.wait_for_end(scan)
    assert progress["total_events"] == 7 and progress["fates"]["folded"] == 7

    journals = witness.journals()
    assert events_of(journals) == expected_events(instruments, rows)
    for pair in ((1, 2), (4, 5)):
        assert sum(all(e in journal for e in pair) for journal in journals.values()) == 1


def test_a_map_without_wrap_holds_start_and_end_itself(cluster, instrument, witness):
    everybody = [{"constraint": None}]
    slots = one_each(6)
    cluster.configure(**witness.settings())
    cluster.start_all()
    det = instrument()
    scan = cluster.begin({"det": [everybody, *slots, []]}, wrap=False)
    det.series_of(6)
    progress = cluster.wait_for_end(scan)
    assert progress["total_events"] == 8
    assert (progress["fates"]["folded"], progress["fates"]["discarded"]) == (7, 1)

    expected = expected_events([det], {"det": slots})
    del expected[7]
    journals = witness.journals()
    assert events_of(journals) == expected
    assert all(0 in journal for journal in journals.values())


def test_an_empty_map_ends_at_once(cluster):
    cluster.configure()
    cluster.start_all()
    scan = cluster.begin({}, [], wrap=False)
    assert cluster.wait_for_end(scan, patience=3)["total_events"] == 0
    # Start and end of no stream at all: nothing to wait for either.
    scan = cluster.begin({}, [])
    assert cluster.wait_for_end(scan, patience=3)["fates"]["folded"] == 0


@pytest.fixture
def tagged(cluster, witness):
    """A worker process {generic}, one {generic, gpu} and one {post}; their pids by these names."""
    cluster.configure(streams=["det", "meta"], workers=1, **witness.settings())
    cluster.start("controller")
    cluster.start("ingester")
    cluster.start("reducer")
    pids = {name: cluster.start("worker", "--tags", tags).pid
            for name, tags in {"w": "generic", "g": "generic,gpu", "p": "post"}.items()}
    cluster.wait_for_members(processes=3)
    return pids


def test_tags_choose_the_workers(cluster, instrument, witness, tagged):
    """Example 4, repeated: constraints tagged gpu go to the worker that has it, start and end to
    everybody with a tag of the map, and nothing to others."""
    gpu, generic = {"tags": ["gpu"]}, {"tags": ["generic"]}
    rows = {"det": [], "meta": []}
    for i in range(40):
        rows["det"] += [[generic], [{"constraint": 2 * i}], [{**gpu, "constraint": 2 * i + 1}]]
        rows["meta"] += [[gpu], None, [{**gpu, "constraint": 2 * i + 1}]]
    instruments = [instrument("det"), instrument("meta")]
    scan = cluster.begin(rows)
    play(instruments, rows)
    cluster.wait_for_end(scan)

    expected = expected_events(instruments, rows)
    assert events_of(witness.journals()) == expected

    def journal_of(pid):
        return next(iter(witness.of_process(pid).values()), {})

    plain, with_gpu, post = (journal_of(tagged[n]) for n in "wgp")
    assert post == {}
    for edge in (0, 121):
        assert plain[edge] == with_gpu[edge] == expected[edge]
    for i in range(40):
        first, second, third = 3 * i + 1, 3 * i + 2, 3 * i + 3
        assert set(plain[first]) == {"det"} and set(with_gpu[first]) == {"det", "meta"}
        assert (second in plain) != (second in with_gpu)
        assert third not in plain and with_gpu[third] == expected[third]


def test_a_broadcast_that_nobody_is_tagged_for_is_discarded(cluster, instrument, tagged):
    cluster_map = {"det": [[{"tags": ["nobody"]}], [{"constraint": 0}]]}
    det = instrument("det")
    scan = cluster.begin(cluster_map)
    det.series_of(2)
    progress = cluster.wait_for_end(scan)
    assert (progress["fates"]["folded"], progress["fates"]["discarded"]) == (3, 1)
