use super::*;

const ONE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
const TWO: &str = "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----";

/// Number of certificates that are read, and the notes.
fn read(text: &str) -> Result<(usize, Vec<PemNote>), IdentityError> {
    let mut notes = Vec::new();
    certificates(text.as_bytes(), &mut notes).map(|chain| (chain.len(), notes))
}

#[test]
fn what_stands_around_sections_is_no_part_of_them() {
    let bag = "Bag Attributes\n    friendlyName: x\nsubject=CN = x\n";
    for text in [
        format!("{ONE}\n{TWO}\n"),
        format!("\u{feff}{ONE}\n\u{feff}{TWO}"),
        format!("{bag}{ONE}\n\n{bag}{TWO}\nthe end"),
        format!("{ONE}\n{TWO}\n").replace('\n', "\r\n"),
        format!("{ONE}\n{TWO}\n").replace('\n', "\r"),
        format!("{ONE}\n{TWO}\n").replace('\n', "\n  "),
        format!("{ONE} \n{TWO}\t\n"),
        format!("\u{feff}{ONE}\r\n{TWO}").replace("-----\n", "-----  \r\n"),
    ] {
        assert_eq!(read(&text), Ok((2, vec![])), "{text:?}");
    }
}

#[test]
fn sections_without_a_line_break_between_them_are_read_with_a_note() {
    let glued = |line| PemNote::Glued { line };
    assert_eq!(read(&format!("{ONE}{TWO}\n")), Ok((2, vec![glued(3)])));
    assert_eq!(read(&format!("\u{feff}{ONE} {TWO}{ONE}")), Ok((3, vec![glued(3), glued(5)])));
    assert_eq!(read(&format!("{ONE}# the intermediate\n{TWO}")), Ok((2, vec![])));
}

#[test]
fn nothing_is_passed_over_in_silence() {
    let ignored = |line, label: &str| PemNote::Ignored { line, label: label.to_owned() };
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    let trusted = TWO.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    assert_eq!(
        read(&format!("{ONE}\n{key}\n{trusted}")),
        Ok((1, vec![ignored(4, "PRIVATE KEY"), ignored(7, "TRUSTED CERTIFICATE")]))
    );
    let short = TWO.replace("-----B", "----B");
    assert_eq!(read(&format!("{ONE}\n{short}")), Ok((1, vec![PemNote::Stray { line: 4 }])));
    let open = TWO.replace("-----END CERTIFICATE-----", "");
    assert_eq!(read(&format!("{ONE}\n{open}")), Err(IdentityError::BadPem("a section has no END line")));
    assert_eq!(read(""), Err(IdentityError::NoCertificate));
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(ONE.bytes().flat_map(|byte| [byte, 0])).collect();
    let error = certificates(&wide, &mut Vec::new()).unwrap_err();
    assert_eq!(error, IdentityError::Utf16("tls.crt"));
}

#[test]
fn the_first_key_is_used_and_another_one_is_told() {
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----";
    let key = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----";
    let other = "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----";
    let mut notes = Vec::new();
    let text = format!("\u{feff}{parameters}\r\n{key}{other}\n");
    let read = private_key(text.as_bytes(), &mut notes).unwrap();
    assert_eq!(read.secret_der(), [0, 0, 0]);
    assert_eq!(notes, [PemNote::SecondKey { line: 6 }]);
}
