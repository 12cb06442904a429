//! Policies from files: one JSON map of them, or a folder with a file for each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tracing::warn;

use super::{Policies, Policy};
use crate::config::PolicyOptions;
use crate::definition::PolicyDefinition;
use crate::json;

/// A policy and its file, or why it is left out.
type Outcome = Result<(String, Policy), String>;

/// Reads all policies. One that cannot be used is left out and said. A file or folder that
/// cannot be read at all is an error: it is not the same as one without policies.
pub fn load(options: &PolicyOptions) -> Result<Policies, String> {
    let (mut by_id, mut problems) = (BTreeMap::new(), Vec::new());
    let read = if !options.policy_path.as_os_str().is_empty() {
        let folder = &options.policy_path;
        let files = files(folder).map_err(|error| {
            format!(
                "cannot read policies.policy_path {}: {error}",
                folder.display()
            )
        })?;
        files.iter().map(|file| read_file(file)).collect()
    } else if !options.policy_record_name.as_os_str().is_empty() {
        read_map(&options.policy_record_name)?
    } else {
        Vec::new()
    };
    for outcome in read {
        match outcome {
            Ok((file, policy)) => match by_id.entry(policy.definition.id.clone()) {
                Entry::Vacant(place) => drop(place.insert(policy)),
                Entry::Occupied(known) => {
                    let id = known.key();
                    problems.push(format!("{file}: id: policy `{id}` is in another file too"));
                }
            },
            Err(problem) => problems.push(problem),
        }
    }
    Ok(Policies::new(by_id, problems))
}

/// The policy files of a folder, in order: which of two policies counts must not depend on
/// the file system.
pub fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|end| end == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The policy in a file, with the file's name.
fn read_file(file: &Path) -> Outcome {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let policy = read(file, &text)?;
    Ok((file.display().to_string(), policy))
}

/// A policy from the text of a file. The error names file, place and key.
pub fn read(file: &Path, text: &str) -> Result<Policy, String> {
    let parsed = json::parse::<PolicyDefinition>(file, text).map_err(|error| error.to_string())?;
    let unread = tell_unread(file, "", &parsed.raw, &parsed.unread);
    let Value::Object(document) = parsed.raw else {
        return Err(format!("{}: it is not an object", file.display()));
    };
    let file = file.display();
    let definition = parsed.value;
    definition
        .check()
        .map_err(|mistake| format!("{file}: {mistake}"))?;
    Ok(Policy::new(definition, document).with_unread(unread))
}

/// The policies of a JSON map, whose keys are their ids.
fn read_map(file: &Path) -> Result<Vec<Outcome>, String> {
    let text = fs::read_to_string(file).map_err(|error| {
        format!(
            "cannot read policies.policy_record_name {}: {error}",
            file.display()
        )
    })?;
    let parsed =
        json::parse::<Map<String, Value>>(file, &text).map_err(|error| error.to_string())?;
    let policies = parsed.value.into_iter().map(|(id, value)| {
        let at = format!("{}: {id}", file.display());
        let (mut definition, unread) = json::read_value::<PolicyDefinition>(&value)
            .map_err(|(path, message)| format!("{at}.{path}: {message}"))?;
        let unread = tell_unread(file, &format!("{id}."), &value, &unread);
        if definition.id.is_empty() {
            definition.id.clone_from(&id);
        }
        if definition.id != id {
            return Err(format!(
                "{at}.id: `{}` is not the name under which it stands",
                definition.id
            ));
        }
        definition
            .check()
            .map_err(|mistake| format!("{at}.{mistake}"))?;
        let Value::Object(mut document) = value else {
            return Err(format!("{at}: it is not an object"));
        };
        document.insert("id".into(), id.into());
        Ok((
            file.display().to_string(),
            Policy::new(definition, document).with_unread(unread),
        ))
    });
    Ok(policies.collect())
}

/// Says which keys have no effect, and returns them with the file.
fn tell_unread(file: &Path, below: &str, raw: &Value, unread: &[String]) -> Vec<String> {
    let asks = |key: &&String| !json::at(raw, key).is_some_and(json::is_empty);
    let keys = unread.iter().filter(asks);
    let told = keys.map(|key| {
        let (file, key) = (file.display(), format!("{below}{key}"));
        warn!(%file, key, "Key of a policy is unknown or not implemented, has no effect.");
        format!("{file}: {key}")
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_map(text: &str) -> Policies {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policies.json");
        fs::write(&file, text).unwrap();
        let options = PolicyOptions {
            policy_record_name: file,
            ..PolicyOptions::default()
        };
        load(&options).unwrap()
    }

    #[test]
    fn a_map_of_policies_is_read_and_what_is_wrong_is_left_out_and_named() {
        for (bad, told) in [
            (r#"{"rate": "x"}"#, "policies.json: bad.rate: invalid type"),
            (r#"{"rate": -2}"#, "policies.json: bad.rate: -2 is below -1"),
            (r#"{"id": "other"}"#, "policies.json: bad.id: `other`"),
            (r#"[]"#, "policies.json: bad"),
            (
                r#"{"partitions": {"per_api": true, "acl": true}}"#,
                "bad.partitions: per_api cannot be combined",
            ),
            (
                r#"{"access_rights": {"a": {"limit": {"quota_max": -5}}}}"#,
                "bad.access_rights.a.limit.quota_max: -5",
            ),
            (
                r#"{"access_rights": {"a": {"api_id": "b"}}}"#,
                "bad.access_rights.a.api_id: `b`",
            ),
        ] {
            let policies = load_map(&format!(r#"{{"good": {{"rate": 1}}, "bad": {bad}}}"#));
            assert_eq!(policies.all().count(), 1, "{bad}");
            assert_eq!(policies.get("good").unwrap().definition.id, "good");
            let [problem] = &policies.problems[..] else {
                panic!("{:?}", policies.problems);
            };
            assert!(problem.contains(told), "{problem}");
        }
    }

    #[test]
    fn a_folder_has_one_policy_in_each_file() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("a.json", r#"{"id": "one", "quota_max": 5}"#),
            ("b.json", r#"{"id": "one"}"#),
            ("c.json", "{"),
            ("d.json", r#"{"name": "nameless"}"#),
            ("e.txt", "no policy"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let options = PolicyOptions {
            policy_path: folder.path().to_owned(),
            ..PolicyOptions::default()
        };
        let policies = load(&options).unwrap();
        assert_eq!(policies.get("one").unwrap().definition.quota_max, 5);
        let problems = policies.problems.join("\n");
        for part in ["b.json: id: policy `one`", "c.json:1:1", "d.json: id:"] {
            assert!(problems.contains(part), "{part}: {problems}");
        }
        assert_eq!(policies.problems.len(), 3, "{problems}");
    }

    #[test]
    fn what_is_not_there_is_an_error_and_not_an_empty_set() {
        let nowhere = || PathBuf::from("no/such/place");
        for options in [
            PolicyOptions {
                policy_path: nowhere(),
                ..PolicyOptions::default()
            },
            PolicyOptions {
                policy_record_name: nowhere(),
                ..PolicyOptions::default()
            },
        ] {
            let error = load(&options).unwrap_err();
            assert!(error.contains("no/such/place"), "{error}");
        }
        assert_eq!(load(&PolicyOptions::default()).unwrap().all().count(), 0);
    }
}
