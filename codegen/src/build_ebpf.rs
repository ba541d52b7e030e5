//! `cargo xtask build-ebpf`: the kernel programs, from source.
//!
//! Two toolchains will do: Debian's `rustc-web` with its prebuilt `core` for BPF, or a rustup nightly with
//! `rust-src`. Users need neither, since the object is committed beside the hash of its sources.

#[path = "../../gateway-user/steer/ebpf/sources.rs"]
mod sources;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;

use crate::cargo::{must_succeed, workspace};
use crate::needs;

/// Flags of `build-ebpf`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Builds nothing; fails when the committed object is not what its sources' hash says.
    #[arg(long)]
    check: bool,
    /// Installs the toolchain when it is missing (Debian or Ubuntu, as root) instead of
    /// printing the commands.
    #[arg(long)]
    install: bool,
    /// Writes the object here and leaves the committed one alone.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    output: Option<PathBuf>,
}

const TARGET: &str = "bpfel-unknown-none";

/// Debian 12 and later, from the security archive.
const PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev-bpf", "llvm-22-dev"];

/// Linked against that LLVM, because it has to read what that rustc writes.
const LINKER: [&str; 11] = [
    "env",
    "LLVM_PREFIX=/usr/lib/llvm-22",
    "cargo",
    "install",
    "bpf-linker",
    "--version",
    "0.13.0",
    "--locked",
    "--no-default-features",
    "--features",
    "llvm-22",
];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.check {
        return check();
    }
    let compiler = match Compiler::find() {
        Some(compiler) if has_linker() => compiler,
        found => install(args.install, found.is_none())?,
    };
    let object = strip(&fs::read(compiler.build()?)?)?;
    refuse_machine_paths(&object)?;
    let (to, hashes) = match &args.output {
        Some(file) => (file.clone(), None),
        None => (workspace().join(sources::OBJECT), Some(workspace().join(sources::HASHES))),
    };
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&to, &object).with_context(|| format!("writing {}", to.display()))?;
    if let Some(hashes) = hashes {
        fs::write(hashes, sources::hashes(workspace(), &object)?)?;
    }
    println!("build-ebpf: {} ({} bytes)", to.display(), object.len());
    Ok(ExitCode::SUCCESS)
}

/// Fails when the committed object is stale.
fn check() -> Result<ExitCode> {
    let object = fs::read(workspace().join(sources::OBJECT)).context(sources::OBJECT)?;
    let said = fs::read_to_string(workspace().join(sources::HASHES)).context(sources::HASHES)?;
    if said != sources::hashes(workspace(), &object)? {
        bail!(
            "{} is stale: its sources changed since it was built. Run `cargo xtask build-ebpf` and commit it",
            sources::OBJECT
        );
    }
    println!("build-ebpf: {} is what its sources' hash says", sources::OBJECT);
    Ok(ExitCode::SUCCESS)
}

/// A compiler that can make BPF objects.
enum Compiler {
    /// With a prebuilt `core` for BPF.
    Prebuilt(PathBuf),
    /// A rustup nightly that builds `core` itself.
    Nightly,
}

impl Compiler {
    fn find() -> Option<Self> {
        let debian = PathBuf::from("/usr/bin/rustc");
        let libs = output(Command::new(&debian).args(["--print", "target-libdir", "--target", TARGET]));
        if libs.is_some_and(|dir| Path::new(&dir).is_dir()) {
            return Some(Self::Prebuilt(debian));
        }
        let root = output(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]))?;
        Path::new(&root).join("lib/rustlib/src/rust/library").is_dir().then_some(Self::Nightly)
    }

    /// Builds and gives the linked object's path.
    fn build(&self) -> Result<PathBuf> {
        // This program lies in <target>/<profile>; the other compiler gets a directory of its own.
        let own = env::current_exe()?;
        let target = own.ancestors().nth(2).context("this program lies in no target directory")?.join("ebpf");
        let mut cargo = match self {
            Self::Prebuilt(rustc) => {
                let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                // Unstable features without a nightly: aya-ebpf's target has only those.
                cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").arg("build");
                cargo
            }
            Self::Nightly => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", "nightly", "cargo", "build", "-Zbuild-std=core"]).env_remove("RUSTC");
                cargo
            }
        };
        cargo
            .current_dir(workspace())
            .args(["--package", "gateway-ebpf", "--release", "--locked", "--target", TARGET, "--target-dir"])
            .arg(&target)
            .env_remove("RUSTFLAGS")
            .env_remove("RUSTC_WRAPPER")
            // The user side's features of gateway-common need the standard library.
            .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
            .env("CARGO_ENCODED_RUSTFLAGS", rustflags().join("\x1f"))
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", "bpf-linker");
        must_succeed(&mut cargo)?;
        Ok(target.join(TARGET).join("release/sluice-ebpf"))
    }
}

/// Debug info becomes BTF, by which the verifier quotes source lines; paths in it must not name this machine.
fn rustflags() -> Vec<String> {
    let home = env::var("HOME").unwrap_or_default();
    let cargo_home = env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let registries =
        fs::read_dir(Path::new(&cargo_home).join("registry/src")).into_iter().flatten().flatten();
    let mut flags = vec!["-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()];
    flags.extend(registries.map(|dir| format!("--remap-path-prefix={}=/crates", dir.path().display())));
    flags.push(format!("--remap-path-prefix={}=/sluice", workspace().display()));
    flags
}

/// Drops DWARF, which nobody reads; BTF stays.
fn strip(object: &[u8]) -> Result<Vec<u8>> {
    let mut elf = Builder::read(object).context("the linker's output")?;
    let debug = |name: &[u8]| name.starts_with(b".debug") || name.starts_with(b".rel.debug");
    elf.sections.iter_mut().filter(|s| debug(s.name.as_slice())).for_each(|section| section.delete = true);
    elf.delete_orphans();
    // LLVM keeps section names and symbol names in one table, the writer in two.
    if !elf.sections.iter().any(|s| matches!(s.data, SectionData::SectionString)) {
        let names = elf.sections.add();
        names.name = b".shstrtab"[..].into();
        names.sh_type = SHT_STRTAB;
        names.sh_addralign = 1;
        names.data = SectionData::SectionString;
    }
    let mut stripped = Vec::new();
    elf.write(&mut stripped)?;
    Ok(stripped)
}

fn refuse_machine_paths(object: &[u8]) -> Result<()> {
    let home = env::var("HOME").unwrap_or_default();
    let here = workspace().to_string_lossy();
    for path in [home.as_str(), &here].into_iter().filter(|p| p.len() > 1) {
        if object.windows(path.len()).any(|bytes| bytes == path.as_bytes()) {
            bail!("the object names {path}, a path of this machine; a remap is missing in build-ebpf");
        }
    }
    Ok(())
}

/// Installs what is missing, or says which commands would.
fn install(allowed: bool, compiler: bool) -> Result<Compiler> {
    let linker = !has_linker();
    if !allowed || !geteuid().is_root() {
        let apt = compiler.then(|| format!("    apt-get install --yes {}", PACKAGES.join(" ")));
        let lines: Vec<String> =
            apt.into_iter().chain(linker.then(|| format!("    {}", LINKER.join(" ")))).collect();
        bail!(
            "the toolchain for kernel programs is incomplete. As root on Debian or Ubuntu, type this (or call \
             again with --install), or install a rustup nightly with rust-src and bpf-linker:\n{}",
            lines.join("\n")
        );
    }
    if compiler {
        needs::install(&PACKAGES)?;
    }
    if linker {
        println!("{}", LINKER.join(" "));
        must_succeed(Command::new(LINKER[0]).args(&LINKER[1..]))?;
    }
    Compiler::find().context("the packages are installed, yet no compiler for BPF is found")
}

fn has_linker() -> bool {
    output(Command::new("bpf-linker").arg("--version")).is_some()
}

/// First line of a program's output; `None` when it fails or does not exist.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(std::process::Stdio::null()).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}
