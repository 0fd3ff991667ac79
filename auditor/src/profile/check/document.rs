//! JSON with the place of every value, read as Go's `encoding/json` reads it: engine and runtime are written in Go, so
//! what that package refuses, and its words for it, are what a user meets.
//!
//! Values are in one list and name each other by their index: neither reading nor dropping recurses, so depth needs no
//! stack.

use super::super::json::MAX_BYTES;

/// Go's own bound (`maxNestingDepth` in encoding/json/scanner.go).
const MAX_DEPTH: usize = 10_000;

/// Index of a value.
pub(super) type Id = usize;

/// A text that was read.
#[derive(Debug)]
pub(super) struct Document {
    values: Vec<Value>,
    /// What stands behind the first value, if anything does: `json.Unmarshal` refuses it, `json.Decoder` never looks.
    pub(super) trailing: Option<SyntaxError>,
}

/// A value and where it begins, in bytes.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Id>),
    Object(Vec<Member>),
}

/// A number as it is spelled.
#[derive(Debug)]
pub(super) struct Number {
    /// `None` for what no unsigned 64-bit field takes: a sign, a fraction, an exponent, too many digits.
    pub(super) value: Option<u64>,
    /// The digits, cut where there are absurdly many.
    pub(super) spelling: String,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) key_at: usize,
    pub(super) value: Id,
}

/// Why a text is no JSON, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) at: usize,
    pub(super) words: String,
}

impl Document {
    /// Reads the first value of a text.
    pub(super) fn parse(text: &[u8]) -> Result<Self, SyntaxError> {
        debug_assert!(text.len() <= MAX_BYTES, "who reads a file bounds it");
        let mut parser = Parser { text, at: 0, values: Vec::new() };
        parser.document()?;
        parser.blanks();
        let trailing = (parser.at < text.len()).then(|| parser.unexpected("after top-level value"));
        Ok(Self { values: parser.values, trailing })
    }

    /// The outermost value.
    pub(super) const fn root(&self) -> Id {
        0
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    values: Vec<Value>,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), SyntaxError> {
        // The lists and objects that are not closed yet.
        let mut open: Vec<Id> = Vec::new();
        loop {
            // Here a value begins.
            let id = self.begin()?;
            let mut is_open = matches!(self.values[id].kind, Kind::List(_) | Kind::Object(_));
            if is_open {
                if open.len() >= MAX_DEPTH {
                    return Err(SyntaxError { at: self.values[id].at, words: "exceeded max depth".to_owned() });
                }
                open.push(id);
            }
            // And here one has ended, or an object or list has just begun.
            loop {
                let Some(&parent) = open.last() else { return Ok(()) };
                self.blanks();
                let is_object = matches!(self.values[parent].kind, Kind::Object(_));
                match (self.peek()?, is_object) {
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        open.pop();
                        is_open = false;
                        continue;
                    }
                    (_, true) if is_open => self.key(parent)?,
                    (_, false) if is_open => self.item(parent),
                    (b',', true) => {
                        self.at += 1;
                        self.blanks();
                        self.key(parent)?;
                    }
                    (b',', false) => {
                        self.at += 1;
                        self.item(parent);
                    }
                    (_, true) => return Err(self.unexpected("after object key:value pair")),
                    (_, false) => return Err(self.unexpected("after array element")),
                }
                break;
            }
        }
    }

    /// The next value will be this list's.
    fn item(&mut self, list: Id) {
        let next = self.values.len();
        if let Kind::List(items) = &mut self.values[list].kind {
            items.push(next);
        }
    }

    /// Reads a key and its colon; the next value will be its.
    fn key(&mut self, object: Id) -> Result<(), SyntaxError> {
        let key_at = self.at;
        if self.peek()? != b'"' {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        let key = self.string()?;
        self.blanks();
        if self.peek()? != b':' {
            return Err(self.unexpected("after object key"));
        }
        self.at += 1;
        let value = self.values.len();
        if let Kind::Object(members) = &mut self.values[object].kind {
            members.push(Member { key, key_at, value });
        }
        Ok(())
    }

    /// Reads a scalar, or the opening of a list or an object.
    fn begin(&mut self) -> Result<Id, SyntaxError> {
        self.blanks();
        let at = self.at;
        let kind = match self.peek()? {
            b'{' => self.opened(Kind::Object(Vec::new())),
            b'[' => self.opened(Kind::List(Vec::new())),
            b'"' => Kind::Text(self.string()?),
            b'-' | b'0'..=b'9' => self.number()?,
            b'n' => self.literal("null", Kind::Null)?,
            b't' => self.literal("true", Kind::Bool(true))?,
            b'f' => self.literal("false", Kind::Bool(false))?,
            _ => return Err(self.unexpected("looking for beginning of value")),
        };
        self.values.push(Value { at, kind });
        Ok(self.values.len() - 1)
    }

    fn opened(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        kind
    }

    fn literal(&mut self, word: &str, kind: Kind) -> Result<Kind, SyntaxError> {
        for (at, letter) in word.bytes().enumerate() {
            if self.peek()? != letter {
                debug_assert!(at > 0);
                return Err(self.unexpected(&format!("in literal {word} (expecting {})", quoted(letter))));
            }
            self.at += 1;
        }
        Ok(kind)
    }

    fn number(&mut self) -> Result<Kind, SyntaxError> {
        let start = self.at;
        let mut whole = true;
        if self.peek()? == b'-' {
            whole = false;
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        if self.next_is(b".") {
            whole = false;
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if self.next_is(b"eE") {
            whole = false;
            self.at += 1;
            if self.next_is(b"+-") {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        let spelling = String::from_utf8_lossy(&self.text[start..self.at]);
        let value = if whole { spelling.parse().ok() } else { None };
        Ok(Kind::Number(Number { value, spelling: spelling.chars().take(32).collect() }))
    }

    fn some_digits(&mut self, place: &str) -> Result<(), SyntaxError> {
        if !self.peek()?.is_ascii_digit() {
            return Err(self.unexpected(place));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        self.at += self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    }

    fn next_is(&self, bytes: &[u8]) -> bool {
        self.text.get(self.at).is_some_and(|byte| bytes.contains(byte))
    }

    /// Reads a string; what is no UTF-8 in it becomes U+FFFD, as do lone surrogates.
    fn string(&mut self) -> Result<String, SyntaxError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let start = self.at;
            let plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
            self.at += self.text[start..].iter().take_while(|byte| plain(byte)).count();
            text.push_str(&String::from_utf8_lossy(&self.text[start..self.at]));
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    /// Reads what stands behind a backslash.
    fn escape(&mut self) -> Result<char, SyntaxError> {
        let character = match self.peek()? {
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            letter @ (b'"' | b'\\' | b'/') => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, SyntaxError> {
        let first = self.four_digits()?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let behind_first = self.at;
            self.at += 2;
            let second = self.four_digits()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = behind_first;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Result<u32, SyntaxError> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()?).to_digit(16) else {
                return Err(self.unexpected("in \\u hexadecimal character escape"));
            };
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn blanks(&mut self) {
        self.at += self.text[self.at..].iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
    }

    fn peek(&self) -> Result<u8, SyntaxError> {
        let end = || SyntaxError { at: self.text.len(), words: "unexpected end of JSON input".to_owned() };
        self.text.get(self.at).copied().ok_or_else(end)
    }

    fn unexpected(&self, place: &str) -> SyntaxError {
        let byte = self.text.get(self.at).copied().unwrap_or(0);
        SyntaxError { at: self.at, words: format!("invalid character {} {place}", quoted(byte)) }
    }
}

/// A byte as Go's scanner shows it.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x07 => r"'\a'".to_owned(),
        0x08 => r"'\b'".to_owned(),
        0x0b => r"'\v'".to_owned(),
        0x0c => r"'\f'".to_owned(),
        // Below the blank, DEL, and the second table of controls, with the soft hyphen, are not printed as they are.
        0..0x20 | 0x7f => format!(r"'\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!(r"'\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are those of Go's `json.Unmarshal`.
    #[test]
    fn what_is_no_json_is_refused_in_gos_words() {
        for (text, at, words) in [
            ("", 0, "unexpected end of JSON input"),
            ("  ", 2, "unexpected end of JSON input"),
            ("{", 1, "unexpected end of JSON input"),
            ("[1,", 3, "unexpected end of JSON input"),
            ("\"a", 2, "unexpected end of JSON input"),
            ("hello", 0, "invalid character 'h' looking for beginning of value"),
            ("nul!", 3, "invalid character '!' in literal null (expecting 'l')"),
            ("[1,]", 3, "invalid character ']' looking for beginning of value"),
            ("{,}", 1, "invalid character ',' looking for beginning of object key string"),
            ("{\"a\":1,}", 7, "invalid character '}' looking for beginning of object key string"),
            ("{\"a\" 1}", 5, "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", 7, "invalid character '\"' after object key:value pair"),
            ("[1 2]", 3, "invalid character '2' after array element"),
            ("[01]", 2, "invalid character '1' after array element"),
            ("[1.x]", 3, "invalid character 'x' after decimal point in numeric literal"),
            ("[1ex]", 3, "invalid character 'x' in exponent of numeric literal"),
            ("[-x]", 2, "invalid character 'x' in numeric literal"),
            ("[\"\\x\"]", 3, "invalid character 'x' in string escape code"),
            ("[\"\\u00g0\"]", 6, "invalid character 'g' in \\u hexadecimal character escape"),
            ("[\"a\nb\"]", 3, "invalid character '\\n' in string literal"),
            ("// no\n{}", 0, "invalid character '/' looking for beginning of value"),
            ("{'a': 1}", 1, "invalid character '\\'' looking for beginning of object key string"),
            ("\u{feff}{}", 0, "invalid character 'ï' looking for beginning of value"),
        ] {
            let error = Document::parse(text.as_bytes()).unwrap_err();
            assert_eq!((error.at, error.words.as_str()), (at, words), "{text:?}");
        }
    }

    #[test]
    fn what_stands_behind_the_first_value_is_told_apart() {
        assert_eq!(Document::parse(b"{} \n").unwrap().trailing, None);
        let trailing = Document::parse(b"{} x").unwrap().trailing.unwrap();
        assert_eq!((trailing.at, trailing.words.as_str()), (3, "invalid character 'x' after top-level value"));
    }

    #[test]
    fn depth_is_bounded_as_in_go() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Document::parse(nested(10_000).as_bytes()).is_ok());
        assert_eq!(Document::parse(nested(10_001).as_bytes()).unwrap_err().words, "exceeded max depth");
    }

    #[test]
    fn strings_are_unescaped_and_broken_ones_mended() {
        for (text, expected) in [
            (&br#""a\n\"\\\/\u00e9""#[..], "a\n\"\\/é"),
            (br#""\ud83d\ude00""#, "😀"),
            (br#""\ud83dx""#, "\u{fffd}x"),
            (br#""\ud83d\u0041""#, "\u{fffd}A"),
            (b"\"\xff\"", "\u{fffd}"),
        ] {
            let document = Document::parse(text).unwrap();
            let Kind::Text(read) = &document.value(document.root()).kind else { panic!("{text:?}") };
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn every_value_knows_its_place() {
        let document =
            Document::parse(br#"{"a": [1, -2, 18446744073709551615, 18446744073709551616], "b": null}"#).unwrap();
        let Kind::Object(members) = &document.value(document.root()).kind else { panic!("no object") };
        assert_eq!(
            members.iter().map(|member| (member.key.as_str(), member.key_at)).collect::<Vec<_>>(),
            [("a", 1), ("b", 59)]
        );
        let Kind::List(items) = &document.value(members[0].value).kind else { panic!("no list") };
        let numbers: Vec<_> = items
            .iter()
            .map(|id| match &document.value(*id) {
                Value { at, kind: Kind::Number(number) } => (*at, number.value),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(numbers, [(7, Some(1)), (10, None), (14, Some(u64::MAX)), (36, None)]);
    }
}
