"""One frame's slot, reached through the subject's own methods."""

from __future__ import annotations

from frame_harness.base.units import Paddr
from frame_harness.frame_guest.view import GuestView
from frame_harness.guest.reply import Reply, checked


class Slot:
    """Calls `MetaSlot` methods on the frame at a physical address; every call is one console command."""

    def __init__(self, kernel: GuestView, paddr: Paddr) -> None:
        self.kernel, self.paddr = kernel, paddr

    def __repr__(self) -> str:
        return f"<Slot of frame {self.paddr:#x}>"

    def call(self, method: str, *arguments: int) -> Reply:
        """Call any `MetaSlot` method by its name in Rust."""
        return self.kernel.call(f"slot.{method}", self.paddr, *arguments)

    def value(self, method: str, *arguments: int) -> int:
        """Call a method that returns one number or truth value."""
        return self.call(method, *arguments)["v"]

    def get_refcount(self) -> int:
        """Returns the count; `REFCOUNT_UNUSED` for a free frame."""
        return self.value("get_refcount")

    def set_refcount(self, count: int) -> None:
        """Store any count of 32 bits."""
        self.call("set_refcount", count)

    def inc_ref(self) -> None:
        """Take one reference more; raises `SubjectPanic` where there can be none."""
        self.call("inc_ref")

    def dec_ref(self) -> int:
        """Give one reference back; returns the count before."""
        return self.value("dec_ref")

    def cas_refcount(self, expected: int, new: int) -> tuple[bool, int]:
        """Replace the count where it is as expected; returns whether it was, with the count found."""
        request = f"slot.cas_refcount {self.paddr:#x} {expected:#x} {new:#x}"
        reply = self.kernel.request(request)
        if reply.status == "fail":
            return False, reply["v"]
        return True, checked(reply)["v"]

    def get_flags(self) -> int:
        """Returns all 32 bits of the flags."""
        return self.value("get_flags")

    def set_flags(self, flags: int) -> None:
        """Replace all 32 bits of the flags."""
        self.call("set_flags", flags)

    def get_guard(self) -> int:
        """Returns all 32 bits of the guard."""
        return self.value("get_guard")

    def set_guard(self, bits: int) -> None:
        """Replace all 32 bits of the guard, the mark of poison included."""
        self.call("set_guard", bits)

    def is_guard_poisoned(self) -> int:
        """Returns 1 where the guard has the mark of poison, else 0."""
        return self.value("is_guard_poisoned")

    def mark_poisoned(self) -> None:
        """Mark the frame as poisoned, in guard and flags."""
        self.call("mark_poisoned")

    def generation(self) -> int:
        """Returns how often the frame began a new life, modulo 2^32."""
        return self.value("generation")

    def set_generation(self, generation: int) -> None:
        """Store any generation of 32 bits."""
        self.call("set_generation", generation)

    def vtable_bits(self) -> int:
        """Returns the 64 bits that are stored for the vtable, valid address or not."""
        return self.value("vtable_bits")

    def set_vtable_bits(self, bits: int) -> None:
        """Store any 64 bits for the vtable; nothing is called."""
        self.call("set_vtable_bits", bits)

    def vtable_ref(self) -> Reply:
        """Ask for the vtable that hooks are called through.

        The reply has `addr`, addresses of `on_last_ref` and `on_unmap` (0 for none), `default` as 0 or 1.
        """
        return self.call("vtable_ref")

    def meta_aux_store(self, value: int) -> None:
        """Store any 32 bits in `meta_aux`."""
        self.call("meta_aux_store", value)

    def peek(self) -> bytes:
        """The slot's bytes as the guest prints them, past the subject."""
        return self.kernel.call("slot.peek", self.paddr).outcome.fields.bytes("bytes")

    def poke(self, offset: int, data: bytes) -> None:
        """Overwrite bytes of the slot through the guest, past the subject."""
        self.kernel.call("slot.poke", self.paddr, offset, data.hex())

    def poke_field(self, name: str, value: int) -> None:
        """Overwrite one field where the contract puts it, past the subject; in old versions where it is."""
        field = self.kernel.image.slot_layout.field(name)
        if field is None:
            raise KeyError(name)
        self.poke(field.offset, value.to_bytes(field.size, "little"))
