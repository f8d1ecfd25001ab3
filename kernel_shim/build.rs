//! Tells cargo how to link the kernel, and which frame module to compile in it.

use std::{env, fs, path::Path};

/// Our lints do not apply to a foreign file: it is judged by what it does, not by its style. The lints that Cargo.toml
/// denies are named, because `warnings` are only those that warn.
const ALLOW_FOREIGN: &str =
    "#[allow(warnings, unsafe_op_in_unsafe_fn, clippy::all, clippy::undocumented_unsafe_blocks, \
                             clippy::multiple_unsafe_ops_per_block)]";

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    link_arguments(&here);
    unoptimized();
    subject_module(&here, &out);
}

/// Plain `ld` arguments: they are the same for rust-lld and GNU ld.
fn link_arguments(here: &str) {
    let script = format!("{here}/linker.ld");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    // The host compares it with the banner, so that it never talks to a stale guest.
    println!("cargo:rustc-link-arg-bins=--build-id=sha1");
    // Segments are aligned to 4 KiB pages. The default of 2 MiB would only enlarge the file.
    println!("cargo:rustc-link-arg-bins=-zmax-page-size=0x1000");
    println!("cargo:rustc-link-arg-bins=-znoexecstack");
}

/// `cfg(unoptimized)`: every local has a place of its own on the stack.
fn unoptimized() {
    println!("cargo:rustc-check-cfg=cfg(unoptimized)");
    if env::var("OPT_LEVEL").is_ok_and(|level| level == "0") {
        println!("cargo:rustc-cfg=unoptimized");
    }
}

/// Writes `subject.rs`: the module under test, the built-in one or that of `FRAME_RS`, compiled in place and unmodified,
/// with what is around it.
fn subject_module(here: &str, out: &str) {
    println!("cargo:rerun-if-env-changed=FRAME_RS");
    // Another value in each run that the harness starts: time stamps alone do not say whether a text is the same.
    println!("cargo:rerun-if-env-changed=FRAME_HARNESS_BUILD");
    let builtin = format!("{here}/src/memory/frame.rs");
    // A path that is not UTF-8 must not be treated as unset.
    let foreign = env::var_os("FRAME_RS").filter(|path| !path.is_empty()).map(|path| {
        path.into_string().unwrap_or_else(|path| panic!("FRAME_RS: expected a path in UTF-8, got {path:?}"))
    });
    let allow = if foreign.is_some() {
        ALLOW_FOREIGN
    } else {
        // The shim does not use everything that the module offers.
        "#[allow(dead_code)]"
    };
    let subject = foreign.unwrap_or(builtin);
    assert!(Path::new(&subject).is_absolute(), "FRAME_RS: expected an absolute path, got {subject}");
    println!("cargo:rerun-if-changed={subject}");
    lacking_names();
    println!("cargo:rustc-check-cfg=cfg(core_has, values(any()))");
    let text = match (tree(), other_adapter()) {
        (Some(tree), _) => tree_module(here, out, &tree),
        (None, Some(adapter)) => beside_adapter(&adapter, &subject, allow),
        (None, None) => memory_module(here, &subject, allow),
    };
    fs::write(Path::new(out).join("subject.rs"), text).expect("OUT_DIR is writable");
}

/// The module `memory`: the shim's part of it, and the frame module in a file.
///
/// To rustc a file that `#[path]` names keeps its own modules beside itself, as `mod.rs` does. In a kernel, those of
/// `memory/frame.rs` lie in `memory/frame/`. So the attribute names the folder, on `memory`, and `frame` is found in
/// there as in the kernel. A file of another name cannot be found that way.
fn memory_module(here: &str, subject: &str, allow: &str) -> String {
    let path = Path::new(subject);
    let folder = path.parent().and_then(Path::to_str).expect("an absolute path of a file in UTF-8");
    let (on_memory, on_frame) = if path.file_name().is_some_and(|name| name == "frame.rs") {
        (format!("#[path = {folder:?}]\n"), String::new())
    } else {
        (String::new(), format!("#[path = {subject:?}]\n"))
    };
    // Those of `ASKED_OF` that the built-in core uses. An older module has stand-ins for them.
    for name in ["frame_options", "mark_poisoned", "movable", "unused"] {
        println!("cargo:rustc-cfg=core_has=\"{name}\"");
    }
    let ours = format!("{here}/src/memory/mod.rs");
    format!("{on_memory}mod memory {{\ninclude!({ours:?});\n{allow}\n{on_frame}pub mod frame;\n}}\n")
}

/// The file that takes the place of `src/adapter.rs`, for a module that is no frame module: `FRAME_HARNESS_ADAPTER`.
/// `cfg(other_adapter)` then leaves out what only frame metadata has.
fn other_adapter() -> Option<String> {
    println!("cargo:rerun-if-env-changed=FRAME_HARNESS_ADAPTER");
    println!("cargo:rustc-check-cfg=cfg(other_adapter)");
    let adapter = env::var("FRAME_HARNESS_ADAPTER").ok().filter(|path| !path.is_empty())?;
    assert!(Path::new(&adapter).is_absolute(), "FRAME_HARNESS_ADAPTER: expected an absolute path, got {adapter}");
    println!("cargo:rerun-if-changed={adapter}");
    println!("cargo:rustc-cfg=other_adapter");
    Some(adapter)
}

/// The module under test as `crate::subject`, beside its adapter. It finds the adapter's public modules where a kernel has
/// its own, in the crate's root: `crate::memory` is the adapter's `pub mod memory`.
fn beside_adapter(adapter: &str, subject: &str, allow: &str) -> String {
    format!(
        "#[path = {adapter:?}]\nmod adapter;\n#[allow(unused_imports)]\nuse adapter::*;\n\
         {allow}\n#[path = {subject:?}]\nmod subject;\n"
    )
}

/// The files of a kernel tree's memory core. Each one's text tells which of the names in `ASKED_OF` it has.
const CORE: [&str; 4] = ["zone", "frame", "boot_alloc", "buddy"];

/// Those of its ownership of blocks. The harness asks for them by the feature `ownership`.
const OWNERSHIP: [&str; 4] = ["block", "block_meta", "ownership", "cow"];

/// What versions of a core differ in: `cfg(core_has = "name")` for a name, by the item that shows it, in which file.
const ASKED_OF: [(&str, &str, &str); 8] = [
    ("protected", "boot_alloc", "fn set_protected_ranges"),
    ("alloc_migratetype", "buddy", "fn alloc_migratetype"),
    ("alloc_zone_migratetype", "buddy", "fn alloc_zone_migratetype"),
    ("frame_options", "frame", "enum FramePurpose"),
    ("mark_poisoned", "frame", "fn mark_poisoned"),
    ("movable", "frame", "const MOVABLE"),
    ("unused", "frame", "const REFCOUNT_UNUSED"),
    ("vtables", "frame", "fn invoke_vtable_on_last_ref"),
];

/// The folder of a kernel's sources whose memory core takes the place of the frame module: `FRAME_HARNESS_TREE`.
/// `cfg(kernel_tree)` then brings what such a core asks its kernel for; `cfg(other_adapter)` leaves out what only frame
/// metadata has.
fn tree() -> Option<String> {
    println!("cargo:rerun-if-env-changed=FRAME_HARNESS_TREE");
    println!("cargo:rustc-check-cfg=cfg(kernel_tree)");
    let tree = env::var("FRAME_HARNESS_TREE").ok().filter(|path| !path.is_empty())?;
    assert!(Path::new(&tree).is_absolute(), "FRAME_HARNESS_TREE: expected an absolute path, got {tree}");
    println!("cargo:rustc-check-cfg=cfg(other_adapter)");
    println!("cargo:rustc-cfg=other_adapter");
    println!("cargo:rustc-cfg=kernel_tree");
    Some(tree)
}

/// The core's files as `crate::memory`, each in place, with the adapter that drives them.
fn tree_module(here: &str, out: &str, tree: &str) -> String {
    let mut files = String::new();
    let mut texts = Vec::new();
    let owning = if env::var_os("CARGO_FEATURE_OWNERSHIP").is_some() { &OWNERSHIP[..] } else { &[] };
    for &name in CORE.iter().chain(owning) {
        let file = format!("{tree}/memory/{name}.rs");
        println!("cargo:rerun-if-changed={file}");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        files += &format!("{ALLOW_FOREIGN}\npub mod {name};\n");
        texts.push((name, text));
    }
    for (name, file, item) in ASKED_OF {
        if texts.iter().any(|(named, text)| *named == file && has_public(text, item)) {
            println!("cargo:rustc-cfg=core_has=\"{name}\"");
        }
    }
    // It asks for this one, and has none of its own.
    if texts.iter().any(|(named, text)| *named == "boot_alloc" && text.contains("is_hhdm_range_mapped_now")) {
        println!("cargo:rustc-cfg=core_has=\"is_hhdm_range_mapped_now\"");
    }
    let modules = loader_modules(texts.iter().map(|(_, text)| text.as_str()));
    fs::write(Path::new(out).join("limine.rs"), modules).expect("OUT_DIR is writable");
    let (ours, adapter) = (format!("{here}/src/tree/memory.rs"), format!("{here}/src/tree/mod.rs"));
    // As for a frame module: a file of the core may have modules of its own in a folder of its name.
    let folder = format!("{tree}/memory");
    format!(
        "#[path = {adapter:?}]\nmod adapter;\n#[path = {folder:?}]\nmod memory {{\ninclude!({ours:?});\n{files}}}\n"
    )
}

/// Whether a line of a text begins an item such as `fn name` that the crate around it can see: `pub fn name`,
/// `pub(crate) const unsafe fn name`. What is missing for another reason the compiler tells.
fn has_public(text: &str, item: &str) -> bool {
    let is_name = |char: char| char.is_alphanumeric() || char == '_';
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        line.match_indices(item).any(|(at, _)| {
            let (before, behind) = (&line[..at], &line[at + item.len()..]);
            let public = before.split(|char: char| !is_name(char)).any(|word| word == "pub");
            public && !before.ends_with(is_name) && !behind.starts_with(is_name)
        })
    })
}

/// A function for each module of the boot loader that the core asks for by name.
fn loader_modules<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    const PATH: &str = "boot::limine::";
    let mut names: Vec<&str> = Vec::new();
    for text in texts {
        for (at, _) in text.match_indices(PATH) {
            let rest = &text[at + PATH.len()..];
            let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(rest.len());
            if end > 0 && !names.contains(&&rest[..end]) {
                names.push(&rest[..end]);
            }
        }
    }
    let mut text = format!("/// In the order of the core's text.\npub const NAMES: &[&str] = &{names:?};\n");
    for (index, name) in names.iter().enumerate() {
        text += &format!("pub fn {name}() -> Option<(u64, u64)> {{\n    super::region::protected({index})\n}}\n");
    }
    text
}

/// Tells the compiler which names the frame module lacks: `cfg(lacks = "MetaSlot")` for each, `cfg(older)` for any.
/// The harness finds them. A build by hand assumes that the module is complete.
fn lacking_names() {
    println!("cargo:rerun-if-env-changed=FRAME_HARNESS_LACKS");
    println!("cargo:rustc-check-cfg=cfg(older)");
    println!("cargo:rustc-check-cfg=cfg(lacks, values(any()))");
    let lacking = env::var("FRAME_HARNESS_LACKS").unwrap_or_default();
    for name in lacking.split(',').filter(|name| !name.is_empty()) {
        println!("cargo:rustc-cfg=lacks=\"{name}\"");
    }
    if !lacking.is_empty() {
        println!("cargo:rustc-cfg=older");
    }
}
