//! An XML document, read within bounds.
//!
//! Nothing is fetched and nothing is expanded: of entities only those are known that XML
//! itself has, and a document that uses others is refused.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, escape};
use serde_json::{Map, Value};

/// Deepest nesting of elements.
const MAX_DEPTH: usize = 128;

/// Most elements, attributes and pieces of text together.
const MAX_NODES: usize = 100_000;

/// The nodes in the order of the document. The first one is the document itself.
pub(crate) struct Document<'a> {
    nodes: Vec<Node<'a>>,
}

struct Node<'a> {
    content: Content<'a>,
    /// One past the last node below it.
    end: usize,
}

enum Content<'a> {
    Root,
    Element {
        name: String,
        attributes: Vec<(String, String)>,
    },
    Text(Cow<'a, str>),
}

/// Why a text is not a document that is read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    /// It is not well-formed.
    #[error("{0}")]
    Xml(#[from] quick_xml::Error),
    /// It is, or would be, too large.
    #[error("more than {0} {1}")]
    TooLarge(usize, &'static str),
    /// It is not one element.
    #[error("{0}")]
    Shape(&'static str),
}

/// Reads a document.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, Malformed> {
    let mut builder = Builder::new();
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event()? {
            Event::Start(start) => builder.open(&start)?,
            Event::Empty(start) => {
                builder.open(&start)?;
                builder.close();
            }
            Event::End(_) => builder.close(),
            Event::Text(text) => builder.text(text.decode().map_err(quick_xml::Error::from)?)?,
            Event::CData(text) => builder.text(text.decode().map_err(quick_xml::Error::from)?)?,
            Event::GeneralRef(reference) => builder.text(resolve(&reference)?)?,
            Event::Decl(_) | Event::DocType(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => return builder.finish(),
        }
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<Cow<'static, str>, Malformed> {
    if let Some(letter) = reference.resolve_char_ref()? {
        return Ok(Cow::Owned(letter.to_string()));
    }
    let name = reference.decode().map_err(quick_xml::Error::from)?;
    escape::resolve_xml_entity(&name)
        .map(Cow::Borrowed)
        .ok_or(Malformed::Shape("an entity is not one of XML's own"))
}

struct Builder<'a> {
    nodes: Vec<Node<'a>>,
    open: Vec<usize>,
    count: usize,
}

// === impl Builder ===

impl<'a> Builder<'a> {
    fn new() -> Self {
        let root = Node {
            content: Content::Root,
            end: 0,
        };
        Self {
            nodes: vec![root],
            open: vec![0],
            count: 0,
        }
    }

    fn count(&mut self, more: usize) -> Result<(), Malformed> {
        self.count += more;
        if self.count > MAX_NODES {
            return Err(Malformed::TooLarge(MAX_NODES, "nodes"));
        }
        Ok(())
    }

    fn push(&mut self, content: Content<'a>) -> usize {
        let place = self.nodes.len();
        self.nodes.push(Node {
            content,
            end: place + 1,
        });
        place
    }

    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), Malformed> {
        if self.open.len() > MAX_DEPTH {
            return Err(Malformed::TooLarge(MAX_DEPTH, "levels"));
        }
        if self.open.len() == 1 && self.nodes.len() > 1 {
            return Err(Malformed::Shape("there is more than one root"));
        }
        self.count(1)?;
        let mut attributes = Vec::new();
        let mut all = start.attributes();
        // The library looks for repeated ones by comparing each with each.
        for attribute in all.with_checks(false) {
            self.count(1)?;
            let attribute = attribute.map_err(quick_xml::Error::from)?;
            let name = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
            attributes.push((name, attribute.unescape_value()?.into_owned()));
        }
        let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
        let place = self.push(Content::Element { name, attributes });
        self.open.push(place);
        Ok(())
    }

    fn close(&mut self) {
        // The reader has seen to it that there is one to close.
        if let Some(place) = self.open.pop() {
            self.nodes[place].end = self.nodes.len();
        }
    }

    /// Pieces of text that follow each other are one.
    fn text(&mut self, piece: Cow<'a, str>) -> Result<(), Malformed> {
        if self.open.len() == 1 {
            return if piece.trim().is_empty() {
                Ok(())
            } else {
                Err(Malformed::Shape("there is text outside of the root"))
            };
        }
        if let Some(Node {
            content: Content::Text(before),
            ..
        }) = self.nodes.last_mut()
        {
            before.to_mut().push_str(&piece);
            return Ok(());
        }
        self.count(1)?;
        self.push(Content::Text(piece));
        Ok(())
    }

    fn finish(mut self) -> Result<Document<'a>, Malformed> {
        if self.open.len() != 1 || self.nodes.len() == 1 {
            return Err(Malformed::Shape("the root is missing or not closed"));
        }
        self.close();
        Ok(Document { nodes: self.nodes })
    }
}

// === impl Document ===

impl Document<'_> {
    /// The document as nested maps: attributes under `-name`, text beside them under `#text`,
    /// elements of one name as a list.
    pub(crate) fn to_value(&self) -> Value {
        self.value_of(Self::ROOT)
    }

    fn value_of(&self, node: usize) -> Value {
        let (mut map, mut text) = (Map::new(), String::new());
        if let Content::Element { attributes, .. } = &self.nodes[node].content {
            let named = attributes.iter();
            map.extend(named.map(|(name, value)| (format!("-{name}"), value.as_str().into())));
        }
        for child in self.children(node) {
            let name = match &self.nodes[child].content {
                Content::Text(piece) => {
                    text.push_str(piece);
                    continue;
                }
                Content::Element { name, .. } => name,
                Content::Root => continue,
            };
            let value = self.value_of(child);
            match map.get_mut(name) {
                Some(Value::Array(items)) => items.push(value),
                Some(first) => *first = vec![first.take(), value].into(),
                None => drop(map.insert(name.clone(), value)),
            }
        }
        let text = text.trim();
        if map.is_empty() && node != Self::ROOT {
            return text.into();
        }
        if !text.is_empty() && node != Self::ROOT {
            map.insert("#text".into(), text.into());
        }
        Value::Object(map)
    }

    /// The document itself.
    pub(super) const ROOT: usize = 0;

    /// The nodes below a node, itself included.
    pub(super) fn subtree(&self, node: usize) -> Range<usize> {
        node..self.nodes[node].end
    }

    /// The children of a node.
    pub(super) fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        let end = self.nodes[node].end;
        let first = Some(node + 1).filter(|child| *child < end);
        std::iter::successors(first, move |child| {
            Some(self.nodes[*child].end).filter(|next| *next < end)
        })
    }

    /// The name of an element.
    pub(super) fn name(&self, node: usize) -> Option<&str> {
        match &self.nodes[node].content {
            Content::Element { name, .. } => Some(name),
            Content::Root | Content::Text(_) => None,
        }
    }

    /// Whether it is a piece of text.
    pub(super) fn is_text(&self, node: usize) -> bool {
        matches!(self.nodes[node].content, Content::Text(_))
    }

    /// The attributes of an element.
    pub(super) fn attributes(&self, node: usize) -> &[(String, String)] {
        match &self.nodes[node].content {
            Content::Element { attributes, .. } => attributes,
            Content::Root | Content::Text(_) => &[],
        }
    }

    /// All text below a node.
    pub(super) fn text(&self, node: usize) -> String {
        let pieces = self.nodes[self.subtree(node)].iter();
        pieces
            .filter_map(|node| match &node.content {
                Content::Text(text) => Some(&**text),
                Content::Root | Content::Element { .. } => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_put_together_from_its_pieces() {
        let document =
            parse("<?xml version=\"1.0\"?>\n<a>x&amp;<b>&#65;&lt;</b><![CDATA[<y>]]></a> ");
        assert_eq!(document.unwrap().text(Document::ROOT), "x&A<<y>");
    }

    #[test]
    fn what_is_not_a_document_is_refused() {
        for bad in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>text",
            "text<a/>",
            "<a b=c/>",
            "<a>&unknown;</a>",
            "<a b='&unknown;'/>",
            "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>",
            "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>",
            "<a>&#0;</a>",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert!(parse(&nested(MAX_DEPTH + 1)).is_err());
        let wide = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count));
        assert!(parse(&wide(MAX_NODES - 1)).is_ok());
        assert!(parse(&wide(MAX_NODES)).is_err());
        let attributes = format!("<a {}/>", "b='' ".repeat(MAX_NODES));
        assert!(parse(&attributes).is_err());
    }
}
