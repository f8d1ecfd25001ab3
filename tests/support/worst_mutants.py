"""Frame modules that once stopped the harness instead of being blamed: what they leave cannot be followed."""

from __future__ import annotations

from tests.support.frame_mutants import mutant
from tests.support.mutants import Edit

END_OF_FILLING = "        done += step;\n    }\n}\n"


def garbage(first: str, end: str) -> Edit:
    """Fill the slots of some frames with words that do not compress, whatever the memory held."""
    return (
        END_OF_FILLING,
        "        done += step;\n    }\n"
        "    let mut word = 0x9e37_79b9_7f4a_7c15_u64;\n"
        f"    for index in {first} * 8..({end}) * 8 {{\n"
        "        word ^= word << 13;\n        word ^= word >> 7;\n        word ^= word << 17;\n"
        "        // SAFETY: words of the slots that were just filled.\n"
        "        unsafe { table.cast::<u64>().add(index).write(word) }\n    }\n}\n",
    )


GARBAGE_IN_THE_HOLE = mutant(
    "the slots of the hole below 4 GiB are garbage",
    "ARRAY-03",
    garbage("0x8_0000.min(count)", "0x10_0000.min(count)"),
    machine="q35-5g",
)
GARBAGE_EVERYWHERE = mutant("all slots but the first are garbage", "ARRAY-03", garbage("1", "count"))
GARBAGE_AT_THE_END = mutant(
    "the slots of the upper half are garbage", "ARRAY-03", garbage("count / 2", "count")
)
MASKED_INDEX = mutant(
    "frames from 4 GiB on share the slots of those below",
    "ARRAY-06",
    ("unsafe { table.add(pfn as usize) };", "unsafe { table.add(pfn as usize & 0xf_ffff) };"),
    machine="q35-5g",
)
TABLE_IN_THE_IMAGE = mutant(
    "the table is a static",
    "ARRAY-02",
    (
        "    let base = phys_to_virt(paddr.as_u64());\n",
        "    static mut TABLE: [[u64; 8]; 1 << 13] = [[0; 8]; 1 << 13];\n"
        "    let base = if frames <= 1 << 13 {\n"
        "        (&raw mut TABLE).expose_provenance() as u64\n"
        "    } else {\n        phys_to_virt(paddr.as_u64())\n    };\n",
    ),
)
FRAME_BEYOND_MEMORY = mutant(
    "allocation returns a frame that does not exist",
    "ALLOC-14",
    (
        "            if self.make_live(frame) {\n                return Ok(frame);\n",
        "            if self.make_live(frame) {\n"
        "                return Ok(PhysFrame { start_address: frame.start_address + (1_u64 << 45) });\n",
    ),
)
WORST = (
    GARBAGE_IN_THE_HOLE,
    GARBAGE_EVERYWHERE,
    GARBAGE_AT_THE_END,
    MASKED_INDEX,
    TABLE_IN_THE_IMAGE,
    FRAME_BEYOND_MEMORY,
)
