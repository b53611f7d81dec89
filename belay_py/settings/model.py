"""`Settings`: the sources laid on each other by pydantic-settings, checked, and made into options."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr, ValidationError, create_model
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from belay_py.settings.effective import EffectiveValue, effective_values
from belay_py.settings.merging import manager_options, overlay
from belay_py.settings.problems import describe, origins_of, refuse, tell
from belay_py.settings.sources import Keys, Origin, Source, read_code, read_environment, read_file
from belay_py.settings.tables import OF_MANAGER, DeviceTable, SessionTable
from belay_py.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from belay_py.options import DeviceSessionManagerOptions

_SOURCES = "__sources__"
"""The argument that takes our sources through pydantic-settings, which has no other way for those of one call."""


class _Layer(PydanticBaseSettingsSource):
    """One of our sources, as pydantic-settings wants it."""

    def __init__(self, settings: type[BaseSettings], source: Source) -> None:
        super().__init__(settings)
        self._source = source

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return self._source.tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._source.tree


if TYPE_CHECKING:

    class _Fields(BaseSettings):
        """The fields below, which a type checker cannot see; `Settings.manager_options` has types."""

        session: Any
        profiles: dict[str, Any]
        devices: dict[str, Any]

        def __getattr__(self, name: str) -> Any: ...

else:
    _Fields = create_model(
        "_Fields",
        __base__=BaseSettings,
        **OF_MANAGER,
        session=(SessionTable, Field(default_factory=SessionTable)),
        profiles=(dict[str, SessionTable], Field(default_factory=dict)),
        devices=(dict[str, DeviceTable], Field(default_factory=dict)),
    )


class Settings(_Fields):
    """What a manager, its sessions and its boards are set to: defaults, below a file, the environment and code.

    ``file``: the path of a TOML file; without it that of ``BELAY_SETTINGS``, or ``belay.toml`` in the current folder
    if there is one. ``values`` are those of code: ``Settings(max_sessions=3, session={"idle_timeout": "5m"})``.

    Raises `SettingsError`, with one line for each thing that is wrong.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    _origins: dict[Keys, Origin] = PrivateAttr(default_factory=dict)
    _options: DeviceSessionManagerOptions = PrivateAttr()

    def __init__(self, file: str | os.PathLike[str] | None = None, /, **values: Any) -> None:
        below = read_file(file, os.environ)
        sources = (below, read_environment(os.environ, below.tree), read_code(values))
        origins: dict[Keys, Origin] = {}
        for source in sources:
            overlay(origins, source.origins, source.tree)
        problems = [problem for source in sources for problem in source.problems]
        found: list[ErrorDetails] | None = None
        try:
            super().__init__(**_passed(sources))
        except ValidationError as error:
            found = error.errors(include_url=False)
        # Outside of the handler, so that pydantic's error, which has many lines, is not shown with ours.
        refuse([*problems, *(describe(found, origins) if found else _wrong_names(self, origins))])
        self._origins = origins
        self._options = manager_options(self.model_dump(exclude_unset=True))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Give our sources, the strongest first, in place of others, which do not know where a value was written."""
        del env_settings, dotenv_settings, file_secret_settings
        assert isinstance(init_settings, InitSettingsSource)  # pydantic-settings makes it
        return tuple(_Layer(settings_cls, source) for source in reversed(init_settings.init_kwargs[_SOURCES]))

    def manager_options(self) -> DeviceSessionManagerOptions:
        """Return the options of a manager, with profiles and devices resolved."""
        return self._options

    def effective_values(self) -> Iterator[EffectiveValue]:
        """Yield every option that counts, with its value and where it was set."""
        return effective_values(self.model_dump(exclude_unset=True), self._origins, self._options)


def _passed(sources: Iterable[Source]) -> dict[str, Any]:
    return {_SOURCES: sources}


def load_settings(file: str | os.PathLike[str] | None = None, /, **values: Any) -> Settings:
    """Return the settings of a file, the environment and ``values``, in rising order: see `Settings`.

    Raises `SettingsError`, with one line for each thing that is wrong.
    """
    return Settings(file, **values)


def _wrong_names(settings: Settings, origins: Mapping[Keys, Origin]) -> Iterator[str]:
    """Names of profiles and devices that there are not, or that are none."""
    for kind, named in (("devices", settings.devices), ("profiles", settings.profiles)):
        if "" in named:
            keys = (kind, "")
            for origin in origins_of(keys, origins).values():
                yield tell(origin, keys, f"the name is empty; give it one, as in [{kind}.NAME]")
    for device, table in settings.devices.items():
        if table.profile is not None and table.profile not in settings.profiles:
            yield _no_such(("devices", device, "profile"), table.profile, "profile", settings.profiles, origins)
    for device in settings.warm_up:
        if device not in settings.devices:
            yield _no_such(("warm_up",), device, "device", settings.devices, origins)


def _no_such(keys: Keys, name: str, kind: str, known: Mapping[str, Any], origins: Mapping[Keys, Origin]) -> str:
    hint = did_you_mean(name, known, f"the {kind}s are")
    [origin] = origins_of(keys, origins).values()
    return tell(origin, keys, f"there is no {kind} {name!r}; {hint}")
