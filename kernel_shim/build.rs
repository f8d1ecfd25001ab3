//! Tells cargo what the kernel is linked by, around which frame module.

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
    // The banner and the host compare it: a stale guest cannot be talked to.
    println!("cargo:rustc-link-arg-bins=--build-id=sha1");
    // Segments are aligned to 4 KiB pages; the 2 MiB default would only inflate the file.
    println!("cargo:rustc-link-arg-bins=-zmax-page-size=0x1000");
    println!("cargo:rustc-link-arg-bins=-znoexecstack");
}

/// Writes `subject.rs`: the frame module, compiled in place and unmodified from `FRAME_RS`, or the built-in one.
fn subject_module(here: &str, out: &str) {
    println!("cargo:rerun-if-env-changed=FRAME_RS");
    // Another value in each run that the harness starts: time stamps alone do not say whether a text is the same.
    println!("cargo:rerun-if-env-changed=FRAME_HARNESS_BUILD");
    let builtin = format!("{here}/src/memory/frame.rs");
    // A path that cannot be written into Rust must not be taken for none.
    let foreign = env::var_os("FRAME_RS").filter(|path| !path.is_empty()).map(|path| {
        path.into_string().unwrap_or_else(|path| panic!("FRAME_RS: expected a path in UTF-8, got {path:?}"))
    });
    // Our lints are not the subject's: a foreign file is judged by what it does, not by its style. Those that
    // Cargo.toml denies are named, because `warnings` are those that warn.
    let allow = if foreign.is_some() {
        "#[allow(warnings, unsafe_op_in_unsafe_fn, clippy::all, clippy::undocumented_unsafe_blocks)]\n"
    } else {
        // The shim is no kernel: it has no use for all that the module offers.
        "#[allow(dead_code)]\n"
    };
    let subject = foreign.unwrap_or(builtin);
    assert!(Path::new(&subject).is_absolute(), "FRAME_RS: expected an absolute path, got {subject}");
    println!("cargo:rerun-if-changed={subject}");
    let text = format!("{allow}#[path = {subject:?}]\npub mod frame;\n");
    fs::write(Path::new(out).join("subject.rs"), text).expect("OUT_DIR is writable");
}
