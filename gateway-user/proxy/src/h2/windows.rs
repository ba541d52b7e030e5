//! The windows that a client gives to what it is sent (RFC 9113 section 6.9).

use super::frames::{Frame, kind};

/// Windows before a client has said anything of them.
pub(super) const FIRST: u64 = 65_535;
/// Bytes of a setting: its number and its value.
const SETTING: u8 = 6;
/// SETTINGS_INITIAL_WINDOW_SIZE.
const INITIAL_WINDOW_SIZE: u64 = 4;

/// The window of a stream at its beginning, as the peer's settings have it.
#[derive(Debug)]
pub(super) struct InitialWindow {
    bytes: u64,
    is_settings: bool,
    /// The setting that is being read, and how many bytes of it there are.
    setting: u64,
    have: u8,
}

impl Default for InitialWindow {
    fn default() -> Self {
        Self { bytes: FIRST, is_settings: false, setting: 0, have: 0 }
    }
}

impl InitialWindow {
    /// Its bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A frame of the peer's begins.
    pub(super) fn begin(&mut self, frame: Frame) {
        self.is_settings = frame.kind == kind::SETTINGS;
        (self.setting, self.have) = (0, 0);
    }

    /// A piece of its payload.
    pub(super) fn payload(&mut self, bytes: &[u8]) {
        if !self.is_settings {
            return;
        }
        for byte in bytes {
            self.setting = self.setting << 8 | u64::from(*byte);
            self.have += 1;
            if self.have == SETTING {
                if self.setting >> 32 == INITIAL_WINDOW_SIZE {
                    self.bytes = self.setting & 0xffff_ffff;
                }
                (self.setting, self.have) = (0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8) -> Frame {
        Frame::of([0, 0, 12, kind, 0, 0, 0, 0, 0])
    }

    #[test]
    fn the_last_setting_of_it_counts_however_it_is_cut() {
        let settings = b"\x00\x04\x00\x00\x00\x09\x00\x03\x00\x00\x00\x64\x00\x04\x00\x01\x00\x02";
        for at in 0..=settings.len() {
            let mut window = InitialWindow::default();
            assert_eq!(window.bytes(), FIRST);
            let (front, back) = settings.split_at(at);
            window.begin(frame(kind::SETTINGS));
            window.payload(front);
            window.payload(back);
            assert_eq!(window.bytes(), 65_538, "split at {at}");
            window.begin(frame(kind::DATA));
            window.payload(b"\x00\x04\x00\x00\x00\x09");
            assert_eq!(window.bytes(), 65_538);
        }
    }
}
