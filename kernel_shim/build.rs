//! Tells cargo how to link the kernel, and which frame module to compile in it.

use std::{env, fs, path::Path};

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    link_arguments(&here);
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
    // Our lints do not apply to a foreign file: it is judged by what it does, not by its style. The lints that Cargo.toml
    // denies are named, because `warnings` are only those that warn.
    let allow = if foreign.is_some() {
        "#[allow(warnings, unsafe_op_in_unsafe_fn, clippy::all, clippy::undocumented_unsafe_blocks, \
         clippy::multiple_unsafe_ops_per_block)]"
    } else {
        // The shim does not use everything that the module offers.
        "#[allow(dead_code)]"
    };
    let subject = foreign.unwrap_or(builtin);
    assert!(Path::new(&subject).is_absolute(), "FRAME_RS: expected an absolute path, got {subject}");
    println!("cargo:rerun-if-changed={subject}");
    lacking_names();
    let text = match other_adapter() {
        Some(adapter) => beside_adapter(&adapter, &subject, allow),
        None => memory_module(here, &subject, allow),
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
