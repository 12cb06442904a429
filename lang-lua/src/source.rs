//! The files of a plugin: read once, as text, with the module names that `require` knows.

use std::fs;
use std::path::{Component, Path, PathBuf};

use coprocess_core::{LoadError, PluginSource};

/// The first byte of a compiled chunk. Malformed bytecode can break the process.
const BYTECODE: u8 = 0x1b;

/// One file of a plugin.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// The path below the plugin's folder: what errors show.
    pub(crate) name: String,
    /// What `require` calls it: `a.b` for `a/b.lua` and for `a/b/init.lua`.
    pub(crate) module: String,
    /// The code.
    pub(crate) text: Vec<u8>,
}

/// Reads the `.lua` files of a source, in its order. A file that cannot be used is an error
/// of its own beside the others.
pub(crate) fn read(source: &PluginSource) -> Vec<Result<SourceFile, LoadError>> {
    let is_lua = |file: &&PathBuf| file.extension().is_some_and(|ending| ending == "lua");
    let lua = source.files.iter().filter(is_lua);
    lua.map(|file| read_file(&source.root, file)).collect()
}

fn read_file(root: &Path, file: &Path) -> Result<SourceFile, LoadError> {
    let name = file.display().to_string();
    let code = |message: &str| LoadError::Code {
        file: name.clone(),
        message: message.to_owned(),
    };
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !file.components().all(inside) {
        return Err(code("path leads out of the plugin's folder"));
    }
    let text = fs::read(root.join(file)).map_err(|source| LoadError::Read {
        path: root.join(file).display().to_string(),
        source,
    })?;
    if text.first() == Some(&BYTECODE) {
        return Err(code("is compiled bytecode; ship the source instead"));
    }
    Ok(SourceFile {
        module: module_name(file),
        name,
        text,
    })
}

/// The file that `require` means: `a/b` is `a.b`, and what is in `vendor` is found without
/// its folder too.
pub(crate) fn module<'a>(files: &'a [SourceFile], name: &str) -> Option<&'a SourceFile> {
    let name = name.replace('/', ".");
    let vendored = format!("vendor.{name}");
    let by_name = |name: &str| files.iter().find(|file| file.module == name);
    by_name(&name).or_else(|| by_name(&vendored))
}

fn module_name(file: &Path) -> String {
    let mut parts: Vec<_> = file
        .with_extension("")
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if parts.len() > 1 && parts.last().is_some_and(|last| last == "init") {
        parts.pop();
    }
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_named_by_their_path() {
        for (file, module) in [
            ("a.lua", "a"),
            ("./a.lua", "a"),
            ("a/b.lua", "a.b"),
            ("a/b/init.lua", "a.b"),
            ("init.lua", "init"),
        ] {
            assert_eq!(module_name(Path::new(file)), module);
        }
    }

    #[test]
    fn vendored_modules_are_found_by_both_names_and_give_way_to_own_ones() {
        let file = |module: &str| SourceFile {
            name: String::new(),
            module: module.to_owned(),
            text: Vec::new(),
        };
        let files = ["vendor.a", "vendor.b.c", "a"].map(file);
        for (name, found) in [
            ("a", Some("a")),
            ("vendor.a", Some("vendor.a")),
            ("b.c", Some("vendor.b.c")),
            ("b/c", Some("vendor.b.c")),
            ("vendor/b/c", Some("vendor.b.c")),
            ("c", None),
        ] {
            let module = module(&files, name).map(|file| &*file.module);
            assert_eq!(module, found, "{name}");
        }
    }

    #[test]
    fn files_outside_the_folder_are_refused() {
        for file in ["../secret.lua", "/etc/secret.lua", "a/../../secret.lua"] {
            let error = read_file(Path::new("."), Path::new(file)).unwrap_err();
            assert!(error.to_string().contains("leads out of"), "{error}");
        }
    }
}
