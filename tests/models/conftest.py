"""Models that compute something else than their layers say, as a wrong copy of them would."""

import pytest


@pytest.fixture
def lying(monkeypatch):
    """Have a layer put out something else than its weights and options give: what is read of it is wrong then."""

    def lying(model, name, lie):
        layer = model.get_layer(name)
        right = layer.call
        monkeypatch.setattr(layer, "call", lambda *args, **options: lie(right(*args, **options)))
        return model

    return lying
