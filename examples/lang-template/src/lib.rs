//! A language to begin another one with.
//!
//! Its plugins are files of lines. Each line is a function that sets one header, on the request
//! or, as a response hook, on the response:
//!
//! ```text
//! # in middleware/template/marks.tmpl
//! MarkPre: X-Mark = pre
//! ```
//!
//! A language of use replaces [`Function`], [`parse`] and [`Function::run`].

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use coprocess_core::{
    CoProcessLanguage, DispatchError, DispatchFuture, Event, Hook, HookType, Host, InitContext,
    InitError, LoadError, LogLevel, Object, Plugin, PluginSource, SourceKind, register_language,
};

/// What API definitions call it.
const DRIVER: &str = "template";

/// The ending of its files.
const ENDING: &str = "tmpl";

/// A key of `coprocess_options`: what stands before each value.
const PREFIX: &str = "template_prefix";

/// The language.
#[derive(Default)]
pub struct Template(OnceLock<Started>);

struct Started {
    host: Arc<dyn Host>,
    prefix: String,
}

/// The functions of one plugin, in name order.
struct Functions {
    functions: Vec<Function>,
    problems: Vec<String>,
}

/// One line.
#[derive(Clone)]
struct Function {
    name: String,
    header: String,
    value: String,
}

impl CoProcessLanguage for Template {
    fn init(&self, context: InitContext) -> Result<(), InitError> {
        let prefix = match context.options.get(PREFIX) {
            None => String::new(),
            Some(value) => {
                let text = value.as_str().ok_or_else(|| InitError::Option {
                    key: PREFIX.to_owned(),
                    reason: format!("is {value}; expected text"),
                })?;
                text.to_owned()
            }
        };
        let started = Started {
            host: context.host,
            prefix,
        };
        self.0
            .set(started)
            .map_err(|_| InitError::Interpreter("already started".to_owned()))
    }

    // This one works in place. A language with threads of its own, or a server, returns
    // `DispatchFuture::pending`, and ends what runs longer than `object.time_limit`.
    fn dispatch(&self, mut object: Object) -> DispatchFuture<'_> {
        let function = object.hook.get::<Function>().cloned();
        let (Some(started), Some(function)) = (self.0.get(), function) else {
            let text = format!("hook `{}` was not loaded by it", object.hook_name);
            return DispatchFuture::ready(Err(DispatchError::Unavailable(text)));
        };
        function.run(&started.prefix, &mut object);
        DispatchFuture::ready(Ok(object))
    }

    fn trigger_event(&self, event: Event) {
        if let Some(started) = self.0.get() {
            let line = format!("{}: {}", event.handler_name, event.payload);
            started.host.log(LogLevel::Info, DRIVER, &line);
        }
    }

    fn load(&self, source: &PluginSource) -> Result<Arc<dyn Plugin>, LoadError> {
        let mut plugin = Functions {
            functions: Vec::new(),
            problems: Vec::new(),
        };
        let files = source.files.iter();
        for file in files.filter(|file| file.extension().is_some_and(|ending| ending == ENDING)) {
            match (parse(&source.root, file), source.kind) {
                (Ok(functions), _) => plugin.functions.extend(functions),
                // In a shared folder the other files go on; a bundle stands or falls as a whole.
                (Err(error), SourceKind::Directory) => plugin.problems.push(error.to_string()),
                (Err(error), SourceKind::Bundle) => return Err(error),
            }
        }
        plugin
            .functions
            .sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Arc::new(plugin))
    }
}

/// Reads the functions of a file.
fn parse(root: &Path, file: &Path) -> Result<Vec<Function>, LoadError> {
    let path = root.join(file);
    let text = fs::read_to_string(&path).map_err(|source| LoadError::Read {
        path: path.display().to_string(),
        source,
    })?;
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let function = line.split_once(':').and_then(|(name, rest)| {
                let (header, value) = rest.split_once('=')?;
                let [name, header, value] =
                    [name, header, value].map(|part| part.trim().to_owned());
                Some(Function {
                    name,
                    header,
                    value,
                })
            });
            function.ok_or_else(|| LoadError::Code {
                file: format!("{}:{number}", file.display()),
                message: format!("expected `Function: Header = value`, found `{line}`"),
            })
        })
        .collect()
}

impl Function {
    fn run(self, prefix: &str, object: &mut Object) {
        let value = format!("{prefix}{}", self.value);
        match &mut object.response {
            Some(response) => response.edit_header(self.header, Some(value)),
            None => drop(object.request.set_headers.insert(self.header, value)),
        }
    }
}

// === impl Plugin ===

impl Plugin for Functions {
    fn hook(&self, name: &str, _hook_type: HookType) -> Result<Hook, LoadError> {
        let found = self.functions.iter().find(|function| function.name == name);
        found
            .map(|function| Hook::new(function.clone()))
            .ok_or_else(|| LoadError::UnknownHook {
                name: name.to_owned(),
                known: self.functions.iter().map(|one| one.name.clone()).collect(),
            })
    }

    fn event_handler(&self, name: &str) -> Result<Hook, LoadError> {
        self.hook(name, HookType::Pre)
    }

    fn problems(&self) -> Vec<String> {
        self.problems.clone()
    }
}

register_language! {
    name: "template",
    drivers: &[DRIVER],
    options: &[PREFIX],
    new: || Box::new(Template::default()),
}
