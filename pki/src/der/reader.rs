//! Takes DER apart that came from outside.

/// What is left of a run of elements.
///
/// Strict: one-octet tags, definite lengths in their shortest form (X.690 §10.1). Of two encodings of one thing the second would
/// be another key of a cache, or be read in another way by the next program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

/// One element, and its octets as they stood.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The content of an input that is exactly one element of this tag.
    pub(crate) fn only(input: &'a [u8], tag: u8) -> Option<Self> {
        let mut outer = Self(input);
        let content = outer.take(tag)?;
        outer.is_empty().then_some(Self(content))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What has not been taken yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next element, whatever it is.
    pub(crate) fn element(&mut self) -> Option<Element<'a>> {
        let (tag, rest) = self.0.split_first()?;
        // Tag numbers above 30 go on in further octets; nothing read here has one.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match usize::from(*first) {
            short @ 0..=0x7f => (short, rest),
            0x81 => {
                let (length, rest) = rest.split_first()?;
                (usize::from(*length), rest)
            }
            0x82 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            _ => return None,
        };
        let shortest = match *first {
            0x81 => length >= 0x80,
            0x82 => length >= 0x100,
            _ => true,
        };
        if !shortest {
            return None;
        }
        let (content, after) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Some(Element { tag: *tag, content, whole })
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element().filter(|element| element.tag == tag).map(|element| element.content)
    }

    /// The content of the next element if it has this tag. `None` when it should be readable and is not.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        match self.0.first() {
            Some(next) if *next == tag => self.take(tag).map(Some),
            _ => Some(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::tlv;

    #[test]
    fn what_the_writer_writes_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535] {
            let written = tlv(0x30, &vec![7; length]);
            let element = Reader::new(&written).element().unwrap();
            assert_eq!((element.tag, element.content.len(), element.whole.len()), (0x30, length, written.len()));
        }
    }

    #[test]
    fn other_encodings_are_refused() {
        for input in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],       // indefinite
            &[0x30, 0x81, 1, 0],       // long form of a short length
            &[0x30, 0x81, 0],          // long form of nothing
            &[0x30, 0x82, 0, 1, 0],    // two octets where one would do
            &[0x30, 0x83, 0, 0, 1, 0], // longer than anything read here
            &[0x3f, 0x81, 0, 0],       // a tag of several octets
        ] {
            assert!(Reader::new(input).element().is_none(), "{input:02x?}");
        }
        assert!(Reader::only(&[0x30, 0, 0], 0x30).is_none(), "something follows");
    }
}
