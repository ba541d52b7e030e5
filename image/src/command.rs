//! `cargo xtask image`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use sluice_tooling::bill;
use sluice_tooling::cargo::{QUICK, build_sluice, target_dir, workspace};
use sluice_tooling::debian::Mirrors;

use crate::base::{Base, PACKAGES};
use crate::binary::{self, Build};
use crate::check::{self, MB};
use crate::debian::{Apt, Lists, Packages, SUITE};
use crate::gateway::{self, VERSION};
use crate::oci::{Compression, Packed};
use crate::platform::Platform;
use crate::source::Source;
use crate::verify::{self, Second};
use crate::{container, name};

/// Bytes of all files of an image, in MB.
const MOST: u64 = 60;
/// The same of one that is built quickly: nothing in it is optimised.
const MOST_QUICK: u64 = 100;

/// Flags of `image`.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the image, with its tag; may be given several times.
    #[arg(long = "name", value_name = "REPOSITORY:TAG", default_value = concat!("sluice:", env!("CARGO_PKG_VERSION")))]
    names: Vec<String>,
    /// Machine that it runs on; without it, this one.
    #[arg(long, value_enum)]
    platform: Option<Platform>,
    /// Profile of the binary; `quick` is for labs, and takes the Debian packages that are at hand.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Packs this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "verify")]
    binary: Option<PathBuf>,
    /// File of the archive; without it, one in cargo's target folder.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Release of Debian whose libraries it has; without it, the stable one, and with `--profile quick` that of this machine
    /// where apt has no mirror of Debian.
    #[arg(long)]
    suite: Option<String>,
    /// Address of a mirror of Debian; without it, the one that this machine's apt has.
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Address of a mirror of Debian's security fixes.
    #[arg(long, value_name = "URL", requires = "mirror")]
    security_mirror: Option<String>,
    /// Size that its files may have together, in MB of a million bytes; without it, 60, and 100 with `--profile quick`.
    #[arg(long, value_name = "MB")]
    max_size: Option<u64>,
    /// Builds all of it twice, at two places, and compares the digests.
    #[arg(long)]
    verify: bool,
    /// Runs the image with it as the root directory; as root.
    #[arg(long)]
    check: bool,
    /// Writes the bill of materials, as always but with `--profile quick`.
    #[arg(long)]
    sbom: bool,
}

/// Makes the image, and checks it as far as that is asked for.
///
/// # Errors
/// It cannot be built, or breaks a rule.
pub fn run(args: &Args) -> Result<ExitCode> {
    let platform = args.platform.or_else(Platform::of_this_machine);
    let platform = platform.context("images are made for x86_64 and aarch64: name one with --platform")?;
    let names = args.names.iter().map(|name| name::whole(name)).collect::<Result<Vec<_>>>()?;
    let source = Source::of_checkout()?;
    let second = args.verify.then(Second::copy).transpose()?;
    let base = args.base(platform)?;
    let packed = pack(&args.program(platform, &source)?, &base, platform, &source)?;
    if let Some(second) = second {
        let other = second.build(&args.build(platform, &source)?, |program| {
            // Fetched and read anew as well.
            pack(program, &args.base(platform)?, platform, &source)
        })?;
        verify::compare(&packed, &other)?;
    }
    let output = args.output(platform)?;
    report(&packed, &names, &base, &output)?;
    check::judge(&packed, args.max_size.unwrap_or(if args.is_quick() { MOST_QUICK } else { MOST }) * MB)?;
    write(&output, &packed.archive(&names.iter().map(String::as_str).collect::<Vec<_>>())?)?;
    if args.sbom || !args.is_quick() {
        let bill = crate::bill::of_image(&base.packages, platform, &source, packed.digest())?;
        let file = output.with_extension("cdx.json");
        println!("bill of materials: {} components, {}", bill::write(&bill, &file)?, file.display());
    }
    if args.check {
        container::judge(&packed, platform)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn is_quick(&self) -> bool {
        self.profile == QUICK
    }

    fn base(&self, platform: Platform) -> Result<Base> {
        if self.is_quick()
            && self.suite.is_none()
            && self.mirror.is_none()
            && Some(platform) == Platform::of_this_machine()
        {
            return Base::make(Packages::fetch(&Apt::for_lab(platform)?, platform, &PACKAGES)?);
        }
        let lists = if self.is_quick() { Lists::Cached } else { Lists::Current };
        let mirrors = self
            .mirror
            .as_ref()
            .map(|main| Mirrors { main: main.clone(), security: self.security_mirror.clone() });
        let apt = Apt::open(self.suite.as_deref().unwrap_or(SUITE), platform, lists, mirrors)?;
        Base::make(Packages::fetch(&apt, platform, &PACKAGES)?)
    }

    /// A build by itself: what else is built has other flags.
    fn build(&self, platform: Platform, source: &Source) -> Result<Build> {
        Ok(Build {
            source: workspace().to_owned(),
            target: target_dir()?.join("image"),
            profile: self.profile.clone(),
            platform,
            revision: source.revision.clone(),
        })
    }

    fn program(&self, platform: Platform, source: &Source) -> Result<PathBuf> {
        match &self.binary {
            Some(binary) => {
                fs::canonicalize(binary).with_context(|| format!("--binary {}", binary.display()))
            }
            // The one that everything else of a lab is built with.
            None if self.is_quick() && !self.verify && Some(platform) == Platform::of_this_machine() => {
                build_sluice(QUICK)
            }
            None => self.build(platform, source)?.run(),
        }
    }

    fn output(&self, platform: Platform) -> Result<PathBuf> {
        if let Some(output) = &self.output {
            return Ok(output.clone());
        }
        let profile = if self.profile == "release" { String::new() } else { format!("-{}", self.profile) };
        let name = format!("sluice-{VERSION}-linux-{}{profile}.tar", platform.architecture());
        Ok(target_dir()?.join("image").join(name))
    }
}

/// The image of a program as cargo has built it.
fn pack(program: &Path, base: &Base, platform: Platform, source: &Source) -> Result<Packed> {
    let stripped = target_dir()?.join(format!("sluice-stripped-{}", std::process::id()));
    binary::strip(program, &stripped, platform)?;
    let program = fs::read(&stripped).with_context(|| format!("reading {}", stripped.display()));
    fs::remove_file(&stripped)?;
    gateway::image(base, platform, program?, source)?.pack(Compression::Gzip)
}

/// Writes a file whole or not at all.
fn write(output: &Path, content: &[u8]) -> Result<()> {
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = output.file_name().with_context(|| format!("--output {} is no file", output.display()))?;
    let partial = folder.join(format!(".partial-{}-{}", std::process::id(), name.display()));
    let written = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&partial, content))
        .and_then(|()| fs::rename(&partial, output));
    written.with_context(|| format!("writing {}", output.display()))
}

fn report(packed: &Packed, names: &[String], base: &Base, output: &Path) -> Result<()> {
    let mb = |bytes: u64| bytes as f64 / MB as f64;
    let (mut transferred, mut unpacked) = (0, 0);
    println!("{}: Debian {}, {}", output.display(), base.packages.suite, base.packages.line());
    for (layer, content) in packed.layers().iter().zip(["base", "sluice"]) {
        let (bytes, files) = (layer.bytes().len() as u64, check::size(layer)?);
        println!("{content:>8}  {}  {:5.1} MB, {:5.1} MB unpacked", layer.digest(), mb(bytes), mb(files));
        transferred += bytes;
        unpacked += files;
    }
    println!("   image  {}  {:5.1} MB, {:5.1} MB unpacked", packed.digest(), mb(transferred), mb(unpacked));
    names.iter().for_each(|name| println!("    name  {name}"));
    Ok(())
}
