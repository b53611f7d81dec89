"""Settings from ``belay.toml``, ``BELAY_*`` variables and code, as pydantic models. Loading pydantic takes 0.2 s or so,
which is why nothing else of the package imports this."""

from belay_py.settings.effective import EffectiveValue
from belay_py.settings.model import Settings, load_settings

__all__ = ["EffectiveValue", "Settings", "load_settings"]
