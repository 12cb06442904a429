//! The part of XPath that finds an id: paths down the tree.
//!
//! `/a/b`, `//b`, `*`, `p:b`, a last step `@name` or `text()`, and behind a step `[2]`,
//! `[@name]`, `[@name='x']`, `[child]`, `[child='x']`, `[text()='x']`. Everything else is an
//! error when it is read. A name without a prefix fits elements of any prefix.

use super::document::Document;

/// An expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct XPath {
    steps: Vec<Step>,
    end: End,
}

/// One step down.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// Not from the node itself but from anything below it.
    anywhere: bool,
    test: Test,
    predicates: Vec<Predicate>,
}

#[derive(Debug, PartialEq, Eq)]
enum Test {
    Element(Name),
    Text,
}

/// A name, or nothing where any will do.
type Name = Option<String>;

#[derive(Debug, PartialEq, Eq)]
enum Predicate {
    /// The how manieth, counted from 1.
    Position(usize),
    /// It has this, with this value where there is one.
    Has(Part, Option<String>),
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Attribute(Name),
    Child(Name),
    Text,
}

/// What of the nodes at the end is wanted.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Node,
    Attribute { anywhere: bool, name: Name },
}

// === impl XPath ===

impl XPath {
    /// Reads an expression, or tells what in it is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Parser { text, place: 0 }.path()
    }

    /// The text of the first thing that it finds.
    pub(super) fn text(&self, document: &Document<'_>) -> Option<String> {
        let mut nodes = vec![Document::ROOT];
        for step in &self.steps {
            nodes = step.take(document, starts(document, nodes, step.anywhere));
        }
        match &self.end {
            End::Node => Some(document.text(*nodes.first()?)),
            End::Attribute { anywhere, name } => starts(document, nodes, *anywhere)
                .into_iter()
                .flat_map(|node| document.attributes(node))
                .find(|(found, _)| fits(name, found))
                .map(|(_, value)| value.clone()),
        }
    }
}

/// The nodes that a step starts from, in the order of the document, each once.
fn starts(document: &Document<'_>, nodes: Vec<usize>, anywhere: bool) -> Vec<usize> {
    if !anywhere {
        return nodes;
    }
    let mut all = Vec::new();
    let mut next = 0;
    for node in nodes {
        let below = document.subtree(node);
        all.extend(below.start.max(next)..below.end);
        next = next.max(below.end);
    }
    all
}

impl Step {
    fn take(&self, document: &Document<'_>, starts: Vec<usize>) -> Vec<usize> {
        let mut taken = Vec::new();
        for start in starts {
            let children = document.children(start);
            let mut found: Vec<_> = children
                .filter(|child| self.test.accepts(document, *child))
                .collect();
            for predicate in &self.predicates {
                match predicate {
                    Predicate::Position(place) => {
                        let chosen = found.get(place - 1).copied();
                        found = chosen.into_iter().collect();
                    }
                    Predicate::Has(part, value) => {
                        found.retain(|node| part.is_in(document, *node, value.as_deref()));
                    }
                }
            }
            taken.append(&mut found);
        }
        taken.sort_unstable();
        taken
    }
}

impl Test {
    fn accepts(&self, document: &Document<'_>, node: usize) -> bool {
        match self {
            Self::Text => document.is_text(node),
            Self::Element(name) => document.name(node).is_some_and(|found| fits(name, found)),
        }
    }
}

impl Part {
    fn is_in(&self, document: &Document<'_>, node: usize, value: Option<&str>) -> bool {
        match self {
            Self::Attribute(name) => document
                .attributes(node)
                .iter()
                .any(|(found, text)| fits(name, found) && value.is_none_or(|value| value == text)),
            Self::Child(_) | Self::Text => document.children(node).any(|child| {
                let is_one = match self {
                    Self::Child(name) => {
                        document.name(child).is_some_and(|found| fits(name, found))
                    }
                    _ => document.is_text(child),
                };
                is_one && value.is_none_or(|value| value == document.text(child))
            }),
        }
    }
}

/// Whether a name in a document is the wanted one.
fn fits(wanted: &Name, found: &str) -> bool {
    let Some(wanted) = wanted else { return true };
    let local = || found.split_once(':').map_or(found, |(_, local)| local);
    found == wanted || (!wanted.contains(':') && local() == wanted)
}

/// Reads an expression from left to right.
struct Parser<'a> {
    text: &'a str,
    place: usize,
}

// === impl Parser ===

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.place..]
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let is_there = self.rest().starts_with(wanted);
        if is_there {
            self.place += wanted.len();
        }
        is_there
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.place += rest.len() - rest.trim_start().len();
    }

    fn unexpected(&self) -> String {
        let found = match self.rest().chars().next() {
            Some(letter) => format!("`{letter}`"),
            None => "the end".to_owned(),
        };
        format!(
            "{found} at {} is not understood; there are paths of names, `*`, `@name` and \
             `text()`, with predicates `[1]`, `[name]`, `[@name='value']`",
            self.place + 1
        )
    }

    fn path(mut self) -> Result<XPath, String> {
        let mut steps = Vec::new();
        self.spaces();
        let mut anywhere = self.eat("//");
        if !anywhere {
            // A path that begins with a name begins at the document, too.
            self.eat("/");
        }
        let end = loop {
            if self.eat("@") {
                let name = self.name()?;
                break End::Attribute { anywhere, name };
            }
            let test = if self.eat("text()") {
                Test::Text
            } else {
                Test::Element(self.name()?)
            };
            let is_text = test == Test::Text;
            let mut predicates = Vec::new();
            while self.eat("[") {
                predicates.push(self.predicate()?);
            }
            steps.push(Step {
                anywhere,
                test,
                predicates,
            });
            anywhere = !is_text && self.eat("//");
            if is_text || (!anywhere && !self.eat("/")) {
                break End::Node;
            }
        };
        self.spaces();
        if self.rest().is_empty() {
            Ok(XPath { steps, end })
        } else {
            Err(self.unexpected())
        }
    }

    fn predicate(&mut self) -> Result<Predicate, String> {
        self.spaces();
        let rest = self.rest();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let predicate = if digits > 0 {
            let place = rest[..digits].parse().ok().filter(|place| *place > 0);
            let place = place.ok_or_else(|| format!("{} is no position", &rest[..digits]))?;
            self.place += digits;
            Predicate::Position(place)
        } else {
            let part = if self.eat("@") {
                Part::Attribute(self.name()?)
            } else if self.eat("text()") {
                Part::Text
            } else {
                Part::Child(self.name()?)
            };
            self.spaces();
            let value = if self.eat("=") {
                Some(self.literal()?)
            } else {
                None
            };
            Predicate::Has(part, value)
        };
        self.spaces();
        if self.eat("]") {
            Ok(predicate)
        } else {
            Err(self.unexpected())
        }
    }

    fn literal(&mut self) -> Result<String, String> {
        self.spaces();
        for quote in ["'", "\""] {
            if let Some(text) = self.rest().strip_prefix(quote) {
                let Some(length) = text.find(quote) else {
                    return Err("a quoted text has no end".to_owned());
                };
                self.place += length + 2;
                return Ok(text[..length].to_owned());
            }
        }
        Err(self.unexpected())
    }

    fn name(&mut self) -> Result<Name, String> {
        if self.eat("*") {
            return Ok(None);
        }
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let starts = |c: char| c.is_alphabetic() || c == '_';
        let rest = self.rest();
        let mut length = 0;
        for piece in rest.splitn(3, ':').take(2) {
            let letters = piece.len() - piece.trim_start_matches(is_part).len();
            if !piece.starts_with(starts) {
                break;
            }
            length += letters + usize::from(length > 0);
            if letters < piece.len() {
                break;
            }
        }
        self.place += length;
        // A call, an axis or a third part is not a name.
        if length == 0 || self.rest().starts_with(['(', ':']) {
            return Err(self.unexpected());
        }
        Ok(Some(rest[..length].to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::*;

    const BOOKS: &str = "<shop xmlns:p='urn:p'>\
         <owner>Ada</owner>\
         <shelf n='1'><book id='a'><title>One</title></book><book id='b'><title>Two</title></book></shelf>\
         <shelf n='2'><book id='c' p:kind='new'><title>Three <i>and</i> more</title></book></shelf>\
         <p:item>special</p:item><Grüße>hello</Grüße></shop>";

    #[track_caller]
    fn check(expression: &str, expected: Option<&str>) {
        let document = document::parse(BOOKS).unwrap();
        let path = XPath::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert_eq!(path.text(&document).as_deref(), expected, "{expression}");
    }

    #[test]
    fn paths_find_the_first_of_what_they_name() {
        check("/shop/owner", Some("Ada"));
        check("shop/owner/text()", Some("Ada"));
        check("//title", Some("One"));
        check("/shop//title", Some("One"));
        check("//shelf/*/title", Some("One"));
        check("//book[3]", None);
        check("/shop/title", None);
        check("//Grüße", Some("hello"));
        check(" //owner ", Some("Ada"));
    }

    #[test]
    fn attributes_are_found() {
        check("//book/@id", Some("a"));
        check("//@n", Some("1"));
        check("//shelf[2]//@id", Some("c"));
        check("//book/@*", Some("a"));
        check("//book/@missing", None);
    }

    #[test]
    fn predicates_choose() {
        check("//book[2]/title", Some("Two"));
        check("//shelf[2]/book/title", Some("Three and more"));
        check("//shelf[@n='2']/book/@id", Some("c"));
        check("//book[@p:kind]/@id", Some("c"));
        check("//book[title='Two']/@id", Some("b"));
        check("//book[ title = \"Two\" ]/@id", Some("b"));
        check("//title[text()='Two']", Some("Two"));
        check("//*[i]", Some("Three and more"));
        check("//book[title][2]/@id", Some("b"));
        check("//book[2][title='One']/@id", None);
    }

    #[test]
    fn a_name_without_a_prefix_fits_any() {
        check("//item", Some("special"));
        check("//p:item", Some("special"));
        check("//q:item", None);
        check("//@kind", Some("new"));
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_place() {
        for (expression, place) in [
            ("", "the end at 1"),
            ("/", "the end at 2"),
            ("//a[", "the end at 5"),
            ("//a[count(b)]", "`(` at 10"),
            ("//a | //b", "`|` at 5"),
            ("//a[last()]", "`(` at 9"),
            ("//a[1 or 2]", "`o` at 7"),
            ("/descendant::a", "`:` at 12"),
            ("//a/..", "`.` at 5"),
            ("//a/@b/c", "`/` at 7"),
            ("//text()/a", "`/` at 9"),
            ("string(//a)", "`(` at 7"),
            ("//a[@b=1]", "`1` at 8"),
        ] {
            let error = XPath::parse(expression).unwrap_err();
            assert!(error.starts_with(place), "{expression}: {error}");
        }
        for wrong in ["//a[0]", "//a[@b='x]"] {
            assert!(XPath::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn damaged_documents_and_expressions_are_no_more_than_that() {
        let expressions = [
            "//book[2]/title",
            "//@id",
            "//*[i]//text()",
            "//shelf[@n='2']",
        ];
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut damage = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..=random(4) {
                let place = random(bytes.len().max(1));
                if bytes.is_empty() {
                    break;
                }
                match random(3) {
                    0 => bytes[place] = b"<>/='[]@*&;!:(1"[random(15)],
                    1 => drop(bytes.remove(place)),
                    _ => bytes.truncate(place + 1),
                }
            }
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut read = 0;
        for round in 0..20_000 {
            let expression = expressions[round % expressions.len()];
            let path = XPath::parse(&damage(expression));
            let path = path.unwrap_or_else(|_| XPath::parse(expression).unwrap());
            if let Ok(document) = document::parse(&damage(BOOKS)) {
                path.text(&document);
                read += 1;
            }
        }
        assert!(read > 100, "damage leaves some documents whole: {read}");
    }
}
