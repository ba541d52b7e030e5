//! Licenses of the packages that images have.

/// The license of what an image takes of a package, as an SPDX expression. Debian's file of terms, which the image and its
/// bill of materials have in full, names those of the rest of the source as well.
pub fn license(package: &str) -> Option<&'static str> {
    // gcc-14-base, gcc-16-base, …: of these the terms alone.
    if package.starts_with("gcc-") && package.ends_with("-base") {
        return Some("GPL-3.0-or-later WITH GCC-exception-3.1");
    }
    match package {
        "libc6" => Some("LGPL-2.1-or-later"),
        "libgcc-s1" => Some("GPL-3.0-or-later WITH GCC-exception-3.1"),
        "ca-certificates" => Some("MPL-2.0"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_of_the_base_has_one() {
        for package in crate::base::PACKAGES.iter().chain(&["gcc-14-base"]) {
            assert!(license(package).is_some(), "{package}");
        }
        assert_eq!(license("bash"), None);
    }
}
