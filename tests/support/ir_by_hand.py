"""Walks functions in LLVM IR that a test writes by hand."""

from __future__ import annotations

from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.orderings.events import Function, MemoryAccess
from frame_harness.orderings.ir_paths import Walker
from frame_harness.orderings.llvm_ir import Module

FILE = "/k/frame.rs"

# What rustc writes, cut down: one crate, one structure with two fields, positions with and without inlining.
METADATA = """
!100 = distinct !DICompileUnit(language: DW_LANG_Rust, file: !101, producer: "rustc", isOptimized: true)
!101 = !DIFile(filename: "lib.rs/@/k.cgu.0", directory: "/k/host")
!102 = !DIFile(filename: "/k/frame.rs", directory: "")
!103 = !DINamespace(name: "frame", scope: null)
!104 = !DICompositeType(tag: DW_TAG_structure_type, name: "MetaSlot", scope: !103, size: 512, elements: !105)
!105 = !{!106, !107, !108}
!106 = !DIDerivedType(tag: DW_TAG_member, name: "link", scope: !104, baseType: !110, size: 64)
!107 = !DIDerivedType(tag: DW_TAG_member, name: "flags", scope: !104, baseType: !109, size: 32, offset: 192)
!108 = !DIDerivedType(tag: DW_TAG_member, name: "refcount", scope: !104, baseType: !109, offset: 256)
!109 = !DICompositeType(tag: DW_TAG_structure_type, name: "AtomicU32", size: 32, elements: !113)
!110 = !DICompositeType(tag: DW_TAG_structure_type, name: "Link", size: 64, elements: !111)
!111 = !{!112}
!112 = !DIDerivedType(tag: DW_TAG_member, name: "next", scope: !110, baseType: !109, size: 32)
!113 = !{}
!120 = distinct !DISubprogram(name: "f", linkageName: "f", scope: !104, file: !102, line: 10, unit: !100)
!121 = distinct !DISubprogram(name: "g<u32>", linkageName: "g", scope: !103, file: !102, line: 20, unit: !100)
!122 = distinct !DISubprogram(name: "take", scope: !103, file: !123, line: 30, unit: !100)
!123 = !DIFile(filename: "src/buddy.rs", directory: "/k/host")
!124 = distinct !DIGlobalVariable(name: "BASE", linkageName: "base", scope: !103, file: !102, line: 3)
!125 = !DIGlobalVariableExpression(var: !124, expr: !DIExpression())
!130 = !DILocation(line: 11, column: 5, scope: !131)
!131 = distinct !DILexicalBlock(scope: !120, file: !102, line: 10, column: 1)
!132 = !DILocation(line: 21, column: 5, scope: !121, inlinedAt: !130)
"""


def module(body: str, *, more: str = "") -> Module:
    text = f"define void @f(ptr %self, i32 %n) #0 !dbg !120 {{\nstart:\n{body}\n}}\n{more}\n{METADATA}"
    return Module(text)


def walked(body: str, *, more: str = "", **owned: int) -> Function:
    return Walker(module(body, more=more), FILE, META_SLOT).function("MetaSlot::f", owned=owned)


def only(function: Function) -> tuple[MemoryAccess, ...]:
    assert len(function.paths) == 1
    return function.paths[0].accesses


# What follows is behind nine failures of one update.
ATTEMPTS = """  br label %b
b:
  %i = phi i64 [ 0, %start ], [ %n, %l ]
  %r = cmpxchg ptr %self, i32 5, i32 6 release monotonic, align 4
  %d = extractvalue { i32, i1 } %r, 1
  br i1 %d, label %e, label %l
l:
  %n = add i64 %i, 1
  %c = icmp eq i64 %n, 9
  br i1 %c, label %f, label %b
f:
"""
