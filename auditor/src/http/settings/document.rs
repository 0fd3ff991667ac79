//! YAML as a tree in which everything has its line. No more than a web configuration needs, and no deeper.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::Wrong;

/// Mappings and lists in each other: the format has two.
const MAX_DEPTH: usize = 8;

/// A value, and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    /// From 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    /// As written; `plain` without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Node,
}

struct Reader<'text> {
    parser: Parser<'text, StrInput<'text>>,
}

/// Reads the first document of a text, as Prometheus does.
///
/// # Errors
/// Not YAML, too deep, a key twice or that is no text, an alias.
pub(super) fn parse(text: &str) -> Result<Node, Wrong> {
    let mut reader = Reader { parser: Parser::new_from_str(text) };
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) => {}
            Event::StreamEnd => return Ok(Node { line: 1, value: Value::Null }),
            other => return reader.node(other, span, 0),
        }
    }
}

impl<'text> Reader<'text> {
    fn next(&mut self) -> Result<(Event<'text>, Span), Wrong> {
        let said = |error: ScanError| Wrong::new(error.marker().line(), format!("not YAML: {}", error.info()));
        self.parser.next_event().unwrap_or(Ok((Event::StreamEnd, Span::default()))).map_err(said)
    }

    fn node(&mut self, event: Event<'text>, span: Span, depth: usize) -> Result<Node, Wrong> {
        let line = span.start.line().max(1);
        if depth > MAX_DEPTH {
            return Err(Wrong::new(line, format!("more than {MAX_DEPTH} values in each other")));
        }
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(text.into_owned(), style),
            Event::SequenceStart(..) => {
                let mut nodes = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Value::Sequence(nodes),
                        (event, span) => nodes.push(self.node(event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => self.mapping(depth)?,
            Event::Alias(_) => return Err(Wrong::new(line, "aliases are not supported; write the value out")),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(Wrong::new(line, "not YAML: a value is missing")),
        };
        Ok(Node { line, value })
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, Wrong> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Mapping(entries));
            }
            let key = self.node(event, span, depth + 1)?;
            let Value::Scalar { text, .. } = key.value else { return Err(Wrong::new(key.line, "a key is no text")) };
            if entries.iter().any(|entry| entry.key == text) {
                return Err(Wrong::new(key.line, format!("key `{text}` is there twice")));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            entries.push(Entry { key: text, line: key.line, value });
        }
    }
}

fn scalar(text: String, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
        _ => Value::Scalar { text, plain },
    }
}
