//! The report of a check for people: a table of definitions, what is wrong below, and a line
//! that sums up.

use std::fmt::{self, Display, Formatter};

use super::{Definition, Report, Support};
use crate::api::Effect;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.table(f)?;
        let file = self.configuration.file.as_deref().unwrap_or("defaults");
        let policies = format!("policies: {} loaded", self.policies.loaded);
        for (title, errors, warnings) in [
            (
                format!("configuration: {file}"),
                &self.configuration.errors,
                &self.configuration.warnings,
            ),
            (policies, &self.policies.errors, &self.policies.warnings),
            ("gateway".to_owned(), &self.errors, &self.warnings),
        ] {
            if !(errors.is_empty() && warnings.is_empty()) {
                writeln!(f, "{title}")?;
                list(f, errors, warnings)?;
                writeln!(f)?;
            }
        }
        self.sum_up(f)
    }
}

impl Report {
    fn table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.definitions.is_empty() {
            return Ok(());
        }
        let files = self.definitions.iter().map(|found| found.file.len());
        let width = files.max().unwrap_or_default().max("definition".len());
        writeln!(
            f,
            "{:width$}  {:>9}  {:>5}  supported",
            "definition", "fields", ""
        )?;
        for definition in &self.definitions {
            definition.row(f, width)?;
        }
        writeln!(f)
    }

    fn sum_up(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sum = &self.summary;
        write!(
            f,
            "{}: {} definitions, {} fully, {} partly, {} not supported; {} errors, {} warnings",
            if self.ok { "ok" } else { "failed" },
            sum.definitions,
            sum.full,
            sum.partial,
            sum.none,
            sum.errors,
            sum.warnings,
        )?;
        if self.strict && sum.errors == 0 && sum.warnings > 0 {
            f.write_str(", which --strict takes for errors")?;
        }
        writeln!(f)
    }
}

impl Definition {
    fn row(&self, f: &mut Formatter<'_>, width: usize) -> fmt::Result {
        let support = match self.support {
            Support::Full => "fully",
            Support::Partial => "partly",
            Support::None => "no",
        };
        let fields = format!("{}/{}", self.fields.honoured, self.fields.set);
        // Nothing was asked for, or nothing could be read.
        let percent = match self.fields.set {
            0 => "–".to_owned(),
            _ => format!("{}%", self.fields.percent),
        };
        writeln!(
            f,
            "{:width$}  {fields:>9}  {percent:>5}  {support}",
            self.file
        )?;
        for finding in &self.findings {
            let effect = match finding.effect {
                Effect::Refuses => "refuses",
                Effect::Ignored => "ignored",
                Effect::Missing => "missing",
            };
            write!(f, "    {effect}  {}", finding.path)?;
            match finding.message.as_str() {
                "" => writeln!(f)?,
                message => writeln!(f, ": {message}")?,
            }
        }
        list(f, &self.errors, &self.warnings)
    }
}

fn list(f: &mut Formatter<'_>, errors: &[String], warnings: &[String]) -> fmt::Result {
    for (kind, lines) in [("error", errors), ("warning", warnings)] {
        for line in lines {
            writeln!(f, "    {kind:7}  {line}")?;
        }
    }
    Ok(())
}
