"""A device that is not there: tensors that live elsewhere, though a CPU computes on them.

On a machine without a GPU nobody notices that a tensor was made on the CPU that is to meet weights
on a GPU. Within :class:`Elsewhere` memory has a home. What is moved or made there (``.to("cuda")``,
``device="cuda"``) and all that is computed of it lives there, and says so (``x.device``); where two
homes meet in one operation it fails as PyTorch does with a GPU.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

AWAY, HOME = torch.device("cuda", 0), torch.device("cpu")

#: What a tensor says of its home.
_SAYS: dict[Any, Callable[[torch.device], Any]] = {
    Tensor.device.__get__: lambda home: home,  # type: ignore[attr-defined]
    Tensor.is_cuda.__get__: lambda home: home == AWAY,  # type: ignore[attr-defined]
    Tensor.is_cpu.__get__: lambda home: home == HOME,  # type: ignore[attr-defined]
    Tensor.get_device: lambda home: 0 if home == AWAY else -1,
}
_MOVES = (Tensor.to, Tensor.cpu, Tensor.cuda, Tensor.type_as)
_TO_NUMPY = (Tensor.numpy, Tensor.__array__)
#: Operations that copy from one device to another.
_COPIES = ("aten::copy_", "aten::_foreach_copy_")
#: Operations whose second argument, indices, may lie on the CPU.
_INDEXES = ("aten::index", "aten::_unsafe_index", "aten::index_put", "aten::index_put_")
_INDEXES += ("aten::_index_put_impl_", "aten::_unsafe_index_put")


class TwoHomesError(AssertionError):
    """Tensors of two devices met."""


class Elsewhere:
    """Has tensors live elsewhere; a context manager."""

    def __init__(self) -> None:
        self._away: dict[int, StorageWeakRef] = {}  # held, so that no other gets its address
        self._active = ExitStack()

    def __enter__(self) -> Elsewhere:
        for name, module in list(sys.modules.items()):
            if name.startswith("mmcv.ops.") and hasattr(module, "ext_module"):
                kernels = _Kernels(module.ext_module, self)
                self._active.enter_context(mock.patch.object(module, "ext_module", kernels))
        capability = mock.patch.object(torch.cuda, "get_device_capability", lambda *_: (7, 5))
        self._active.enter_context(capability)  # of a GPU that has float32 alone
        loading = mock.patch.object(torch, "load", functools.partial(self._load, torch.load))
        self._active.enter_context(loading)
        operations = self._active.enter_context(_Operations(self))
        self._active.enter_context(_Calls(self, operations))
        return self

    def __exit__(self, *reason: Any) -> None:
        self._active.close()

    def _load(self, load: Any, file: Any, map_location: Any = None, **settings: Any) -> Any:
        if not isinstance(map_location, str | torch.device):
            return load(file, map_location=map_location, **settings)
        loaded = load(file, map_location="cpu", **settings)
        return self.put(loaded, _home_of(map_location))

    def home(self, x: Tensor) -> torch.device:
        """Where a tensor lives."""
        found = self._away.get(x.untyped_storage()._cdata)
        return HOME if found is None or found.expired() else AWAY

    def put(self, values: Any, home: torch.device) -> Any:
        """Have all tensors in ``values`` live there, as they are."""
        for x in _tensors(values):
            storage = x.untyped_storage()
            if home == HOME:
                self._away.pop(storage._cdata, None)
            elif self.home(x) == HOME:
                self._away[storage._cdata] = StorageWeakRef(storage)
        return values

    def require_one_home(self, what: str, tensors: Iterable[Tensor]) -> torch.device:
        """The home of all these tensors.

        Raises:
            TwoHomesError: When there are two.
        """
        homes = {self.home(x) for x in tensors}
        if len(homes) > 1:
            raise TwoHomesError(f"{what}: expected all tensors to be on the same device")
        return homes.pop() if homes else HOME


class _Calls(TorchFunctionMode):
    """What Python asks of tensors."""

    def __init__(self, elsewhere: Elsewhere, operations: _Operations) -> None:
        super().__init__()
        self.elsewhere, self.operations = elsewhere, operations

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        home, kwargs = self.elsewhere.home, kwargs or {}
        if func in _SAYS:
            return _SAYS[func](home(args[0]))
        if func in _TO_NUMPY and home(args[0]) == AWAY:
            raise TwoHomesError("can't convert a tensor of a GPU to numpy: use .cpu() first")
        if func in _MOVES:
            return self._move(func, *args, **kwargs)
        if func is Tensor.new_tensor:
            kwargs = {"device": home(args[0]), **kwargs}
        if kwargs.get("device") is not None:
            return self._make(func, args, kwargs)
        away = any(home(x) == AWAY for x in _tensors((args, kwargs)))
        with self.operations.making(AWAY if away else HOME):
            if func is Tensor.backward:
                with self:  # for the backward passes that are written in Python
                    return torch.autograd.backward(args[0], kwargs.get("gradient"))
            return func(*args, **kwargs)

    def _move(self, func: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        dtype, home = x.dtype, self.elsewhere.home(x)
        if func in (Tensor.cpu, Tensor.cuda):
            home, args = AWAY if func is Tensor.cuda else HOME, ()
        for value in (*args, kwargs.get("other"), kwargs.get("dtype"), kwargs.get("device")):
            if isinstance(value, Tensor):
                dtype, home = value.dtype, self.elsewhere.home(value)
            elif isinstance(value, torch.dtype):
                dtype = value
            elif isinstance(value, str | torch.device):
                home = _home_of(value)
        moves = home != self.elsewhere.home(x)
        order = kwargs.get("memory_format") or torch.preserve_format
        found = x.to(dtype, copy=moves or bool(kwargs.get("copy")), memory_format=order)
        return self.elsewhere.put(found, home) if moves else found

    def _make(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        home, generator = _home_of(kwargs["device"]), kwargs.get("generator")
        if home == AWAY and generator is not None and generator.device == HOME:
            raise TwoHomesError(f"{func.__name__}: expected a generator of the GPU")
        made = func(*args, **{**kwargs, "device": HOME if home == AWAY else kwargs["device"]})
        given = {x.untyped_storage()._cdata for x in _tensors((args, kwargs))}
        if any(x.untyped_storage()._cdata in given for x in _tensors(made)):
            return self._move(Tensor.to, made, home)  # torch.as_tensor
        return self.elsewhere.put(made, home)


class _Operations(TorchDispatchMode):
    """Each single operation, those within other ones and of backward passes too."""

    def __init__(self, elsewhere: Elsewhere) -> None:
        super().__init__()
        self.elsewhere = elsewhere
        self._factories = HOME

    @contextmanager
    def making(self, home: torch.device) -> Iterator[None]:
        """Where operations make their intermediate values."""
        before, self._factories = self._factories, home
        try:
            yield
        finally:
            self._factories = before

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        if name in _COPIES:
            return func(*args, **kwargs)
        met = list(_meeting(func, args, kwargs, name in _INDEXES, self.elsewhere))
        given = list(_tensors((args, kwargs)))
        home = self.elsewhere.require_one_home(name, met or given)
        factories = HOME if given else self._factories
        found = func(*args, **kwargs)
        return self.elsewhere.put(found, AWAY) if AWAY in (home, factories) else found


def _meeting(
    func: Any, args: Any, kwargs: dict[str, Any], indexed: bool, elsewhere: Elsewhere
) -> Iterable[Tensor]:
    """The tensors that must share a device: not a CPU's single number, unless it is written to."""
    for place, argument in enumerate(func._schema.arguments):
        value = args[place] if place < len(args) else kwargs.get(argument.name)
        written = argument.alias_info is not None and argument.alias_info.is_write
        for x in _tensors(value):
            at_home = elsewhere.home(x) == HOME
            single = isinstance(value, Tensor) and x.dim() == 0 and not written
            if not at_home or not (single or (indexed and place == 1)):
                yield x


class _Kernels:
    """mmcv's compiled operations, which PyTorch does not see as such."""

    def __init__(self, module: Any, elsewhere: Elsewhere) -> None:
        self.module, self.elsewhere = module, elsewhere

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(self.module, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            home = self.elsewhere.require_one_home(name, _tensors((args, kwargs)))
            with torch.utils._python_dispatch._disable_current_modes():
                found = kernel(*args, **kwargs)
            return self.elsewhere.put(found, AWAY) if home == AWAY else found

        return run


def _home_of(device: str | torch.device) -> torch.device:
    return AWAY if torch.device(device).type == AWAY.type else HOME


def _tensors(values: Any) -> Iterable[Tensor]:
    return (x for x in tree_leaves(values) if isinstance(x, Tensor))
