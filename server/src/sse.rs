//! Server-sent events: how one is written, and how they are read back out of a stream of bytes. Pure.
//!
//! Never here: what an event means, and connections.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The event's name; none for an ordinary one.
    pub(crate) name: Option<String>,
    /// The id to resume after.
    pub(crate) id: Option<String>,
    /// One line of text.
    pub(crate) data: Vec<u8>,
}

impl Event {
    /// The event's bytes. Name, id and data have no line breaks: ids are numbers, and JSON escapes them.
    pub(crate) fn write(&self) -> Vec<u8> {
        let Self { name, id, data } = self;
        let mut bytes = Vec::with_capacity(data.len() + 64);
        for (field, value) in [("event", name), ("id", id)] {
            if let Some(value) = value {
                bytes.extend_from_slice(format!("{field}: {value}\n").as_bytes());
            }
        }
        bytes.extend_from_slice(b"data: ");
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(b"\n\n");
        bytes
    }
}

/// An event that is larger than the reader takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Reads events out of pieces of a stream.
#[derive(Debug)]
pub(crate) struct Reader {
    limit: usize,
    /// Bytes of a line that is not whole yet.
    line: Vec<u8>,
    event: Event,
    any: bool,
}

impl Reader {
    /// A reader of events of at most `limit` bytes each.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, line: Vec::new(), event: Event::default(), any: false }
    }

    /// Takes a piece and gives the events that are whole now.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut whole = Vec::new();
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&piece[..end]);
            piece = &piece[end + 1..];
            let line = std::mem::take(&mut self.line);
            whole.extend(self.take_line(line.strip_suffix(b"\r").unwrap_or(&line)));
        }
        self.line.extend_from_slice(piece);
        if self.line.len() + self.event.data.len() > self.limit { Err(TooLarge) } else { Ok(whole) }
    }

    /// Takes a line; an empty one ends an event.
    fn take_line(&mut self, line: &[u8]) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.any).then_some(event);
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || Some(String::from_utf8_lossy(value).into_owned());
        match &line[..colon] {
            b"event" => self.event.name = text(),
            b"id" => self.event.id = text(),
            b"data" => {
                if self.any {
                    self.event.data.push(b'\n');
                }
                self.event.data.extend_from_slice(value);
                self.any = true;
            }
            // A comment, or a field of a later version.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_any_cut_of_the_stream() {
        let events = [
            Event { name: None, id: Some("7".into()), data: br#"{"a":"b: c"}"#.to_vec() },
            Event { name: Some("bookmark".into()), id: None, data: b"{}".to_vec() },
        ];
        let mut stream = b": hello\n\n".to_vec();
        events.iter().for_each(|event| stream.extend(event.write()));
        stream.extend_from_slice(b"data: not whole");
        for cut in 1..stream.len() {
            let mut reader = Reader::new(1000);
            let read: Vec<_> = stream.chunks(cut).flat_map(|piece| reader.feed(piece).unwrap()).collect();
            assert_eq!(read, events, "cut {cut}");
        }
    }

    #[test]
    fn other_peoples_line_ends_and_fields_are_understood() {
        let mut reader = Reader::new(1000);
        let read = reader.feed(b"retry: 5\r\nid:1\r\ndata:a\r\ndata: b\r\n\r\nid: 2\n\n").unwrap();
        assert_eq!(read, [Event { name: None, id: Some("1".into()), data: b"a\nb".to_vec() }]);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut reader = Reader::new(100);
        assert_eq!((0..20).try_for_each(|_| reader.feed(b"0123456789").map(drop)), Err(TooLarge));
    }
}
