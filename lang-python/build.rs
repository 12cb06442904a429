//! Tells the crate which interpreter it is linked to, and the executable that links the
//! crate where to find the library at run time.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "embed")]
    embed();
}

#[cfg(feature = "embed")]
fn embed() {
    let interpreter = pyo3_build_config::get();
    let version = interpreter.version();
    println!(
        "cargo::rustc-env=COPROCESS_PYTHON_VERSION={}.{}",
        version.major, version.minor
    );
    println!(
        "cargo::rustc-env=COPROCESS_PYTHON_EXECUTABLE={}",
        interpreter.executable().unwrap_or_default()
    );
    if let Some(folder) = interpreter.lib_dir() {
        // Read by the gateway's build script as DEP_COPROCESS_PYTHON_RPATH.
        println!("cargo::metadata=rpath={folder}");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
