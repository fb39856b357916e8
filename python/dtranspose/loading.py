"""Finds the class that a configuration names, and finds it anew when its file has changed."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any, Optional


class Loader:
    """Loads ``package.module:Class``.

    directory: the working folder, which comes first on the module path. path: folders that come after it.
    """

    def __init__(self, directory: str = "", path: Any = ()) -> None:
        self.directory = os.path.abspath(directory or os.getcwd())
        self._roots = [self.directory, *(os.path.abspath(p) for p in path)]
        self._fresh: Optional[dict[str, ModuleType]] = None
        for folder in reversed(self._roots):
            if folder in sys.path:
                sys.path.remove(folder)
            sys.path.insert(0, folder)

    def load(self, name: str) -> type:
        """The class of that name. Raises what importing it raises, ValueError for a name of another form."""
        module, colon, attribute = name.partition(":")
        if not colon or not module or not attribute:
            raise ValueError(f"'{name}' names no class; an example is 'src.worker:MyWorker'")
        importlib.invalidate_caches()
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            try:
                found = getattr(found, part)
            except AttributeError:
                raise ImportError(f"module '{module}' ({found.__file__}) has no '{attribute}'") from None
        if not isinstance(found, type):
            raise ValueError(f"'{name}' is no class but {type(found).__name__}")
        return found

    def reload(self, name: str) -> type:
        """The class as its files are now, with everything that it imports from its own folders.

        Modules stay as they were until ``switch``: code that runs finds its own, also when it pickles a result.
        """
        before = self._users_modules()
        bound = self._unbind(before)
        try:
            found = self.load(name)
            self._fresh = self._users_modules()
            return found
        finally:
            self._unbind(self._users_modules())
            self._bind(before, bound)

    def switch(self) -> None:
        """Puts the modules of the last reload in the place of those before."""
        if self._fresh is None:
            return
        fresh, self._fresh = self._fresh, None
        bound = self._unbind(self._users_modules())
        renewed = [(p, n, fresh[m.__name__]) for p, n, m in bound if m.__name__ in fresh]
        self._bind(fresh, renewed)

    def forget(self) -> None:
        """Takes the user's folders and what came from them away again."""
        self._unbind(self._users_modules())
        for folder in self._roots:
            if folder in sys.path:
                sys.path.remove(folder)

    def _users_modules(self) -> dict[str, ModuleType]:
        return {key: m for key, m in list(sys.modules.items()) if self._is_of_the_user(m)}

    def _bind(self, modules: dict[str, ModuleType], bound: list[tuple[ModuleType, str, ModuleType]]) -> None:
        sys.modules.update(modules)
        for parent, attribute, module in bound:
            setattr(parent, attribute, module)

    def _unbind(self, modules: dict[str, ModuleType]) -> list[tuple[ModuleType, str, ModuleType]]:
        """Forgets modules, and that their packages have them; returns which packages had."""
        bound = []
        for key, module in modules.items():
            del sys.modules[key]
            package, _, attribute = key.rpartition(".")
            parent = modules.get(package) or sys.modules.get(package)
            if parent is not None and getattr(parent, attribute, None) is module:
                bound.append((parent, attribute, module))
        return bound

    def _is_of_the_user(self, module: Any) -> bool:
        """Does it lie in one of the user's folders, and not in an environment that lies there too?"""
        file = getattr(module, "__file__", None)
        if file is None:
            paths = list(getattr(module, "__path__", []))  # a package without __init__.py
            file = paths[0] if paths else None
        name = getattr(module, "__name__", "")
        if not file or name == "__main__" or name.split(".")[0] == "dtranspose":
            return False
        file = os.path.abspath(file)
        if f"{os.sep}site-packages{os.sep}" in file or f"{os.sep}dist-packages{os.sep}" in file:
            return False
        return any(file == root or file.startswith(root + os.sep) for root in self._roots)
