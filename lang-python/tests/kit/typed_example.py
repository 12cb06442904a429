"""A test of a plugin as an author who checks types would write it."""

from tyk.testing import Gateway


def test_an_answer(path: str) -> None:
    with Gateway(config_data={"a": 1}) as gateway:
        outcome = gateway.load(path).call("Answer", url="/x", headers={"Accept": ["a", "b"]})
        assert outcome.answer is not None
        assert outcome.answer.status == 418
        assert gateway.logs == []
