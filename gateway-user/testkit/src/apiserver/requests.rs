//! HTTP/1.1 requests of a connection, each read to the end of its body (RFC 9112 sections 6 and 7.1) before
//! it is served: the rest of a body would be taken for the next request.

use std::io::{self, BufRead, BufReader, Read};

/// The requests that come on a connection.
pub(super) struct Requests<'a, R> {
    reader: BufReader<R>,
    /// True if the connection is to be cut; asked each time that a read has nothing to give.
    cut: &'a dyn Fn() -> bool,
}

impl<'a, R: Read> Requests<'a, R> {
    pub(super) fn new(stream: R, cut: &'a dyn Fn() -> bool) -> Self {
        Self { reader: BufReader::new(stream), cut }
    }

    /// The next request's head, once its body has been read as well; `None` at the end or if the
    /// connection is cut.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match self.line()? {
                Some(line) => head += &line,
                None => return Ok(None),
            }
        }
        let whole = match (header(&head, "content-length"), header(&head, "transfer-encoding")) {
            (None, None) => true,
            (Some(length), None) => self.skip(number(length, 10)?)?,
            (_, Some(_)) => self.skip_chunks()?,
        };
        Ok(whole.then_some(head))
    }

    /// Reads a body in chunks to the end of its trailers; false at the connection's end.
    fn skip_chunks(&mut self) -> io::Result<bool> {
        loop {
            let Some(line) = self.line()? else { return Ok(false) };
            let size = number(line.split(';').next().unwrap_or_default(), 16)?;
            if size == 0 {
                break;
            }
            // With the line end behind it.
            if !self.skip(size + 2)? {
                return Ok(false);
            }
        }
        loop {
            match self.line()? {
                None => return Ok(false),
                Some(line) if line == "\r\n" => return Ok(true),
                Some(_) => {}
            }
        }
    }

    /// A line with its end; `None` at the connection's end.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        loop {
            if (self.cut)() {
                return Ok(None);
            }
            match self.reader.read_line(&mut line) {
                // The other side has gone, maybe in the middle of it.
                Ok(_) => return Ok(line.ends_with('\n').then_some(line)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads so many bytes; false if the connection ends before.
    fn skip(&mut self, mut bytes: usize) -> io::Result<bool> {
        while bytes > 0 {
            if (self.cut)() {
                return Ok(false);
            }
            let here = match self.reader.fill_buf() {
                Ok([]) => return Ok(false),
                Ok(some) => some.len().min(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            self.reader.consume(here);
            bytes -= here;
        }
        Ok(true)
    }
}

/// The value of a field.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find_map(|(field, value)| field.eq_ignore_ascii_case(name).then(|| value.trim()))
}

fn number(text: &str, radix: u32) -> io::Result<usize> {
    let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is no length"));
    usize::from_str_radix(text.trim(), radix).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time, and nothing before each, as a socket with a time limit does.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.read(&mut into[..1])
        }
    }

    /// First words of the requests of this text.
    fn targets(text: &str) -> Vec<String> {
        let go_on = || false;
        let mut requests = Requests::new(Slow(text.as_bytes(), false), &go_on);
        let mut all = Vec::new();
        while let Some(head) = requests.next().unwrap() {
            all.push(head.split(' ').nth(1).unwrap().to_owned());
        }
        all
    }

    #[test]
    fn no_body_is_taken_for_a_request() {
        let length = "POST /a HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET /no HTTP/1.1\r\n";
        let chunks = "PATCH /b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
                      c;x=y\r\nGET /no HTTP\r\n2\r\n\r\n\r\n0\r\nT: 1\r\n\r\n";
        let none = "GET /c HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(targets(&[length, chunks, none].concat()), ["/a", "/b", "/c"]);
    }

    #[test]
    fn what_ends_in_the_middle_is_no_request() {
        for text in [
            "",
            "GET /a HTTP/1.1\r\nHost",
            "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nab",
            "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
        ] {
            assert!(targets(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn a_connection_that_is_cut_gives_no_more() {
        let cut = || true;
        let text = b"GET /a HTTP/1.1\r\n\r\n";
        assert!(Requests::new(Slow(text, false), &cut).next().unwrap().is_none());
    }
}
