//! The file thread itself.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::{
        fd::AsFd as _,
        unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_uring::buf::BoundedBuf as _;

use super::{
    FileDriver, FileTarget, RING_ENTRIES,
    queue::{Order, Shared},
};

/// Batches are joined up to about this size.
const WRITE_SIZE: usize = 256 * 1024;

/// "At the file's own position": appends, and works for pipes.
const OWN_POSITION: u64 = u64::MAX;

/// An open target.
pub(crate) struct Output {
    file: File,
    /// Path to open it again at; `None` for standard output.
    path: Option<PathBuf>,
}

/// The open file as the driver knows it.
enum Handle {
    Uring(tokio_uring::fs::File),
    Plain(File),
}

/// Lines of one write, and the order that ended their joining.
struct Joined {
    lines: Vec<u8>,
    next: Option<Order>,
}

impl Output {
    pub(crate) fn open(target: FileTarget) -> io::Result<Output> {
        match target {
            FileTarget::Path(path) => Ok(Output { file: append_to(&path)?, path: Some(path) }),
            // A duplicate: closing it must not close the process's own.
            FileTarget::Stdout | FileTarget::Off => {
                let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
                Ok(Output { file, path: None })
            }
        }
    }
}

fn append_to(path: &PathBuf) -> io::Result<File> {
    let is_pipe = std::fs::metadata(path).is_ok_and(|data| data.file_type().is_fifo());
    let file =
        if is_pipe { open_pipe(path) } else { OpenOptions::new().create(true).append(true).open(path) };
    file.map_err(|error| io::Error::new(error.kind(), format!("cannot open {}: {error}", path.display())))
}

/// Opens a named pipe for good. To open one for writing alone waits for a reader, and writing fails while
/// there is none; open for both it does neither (fifo(7)), and lines wait in it for the next reader.
fn open_pipe(path: &Path) -> io::Result<File> {
    let probe = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path);
    if probe.is_err_and(|error| error.raw_os_error() == Some(libc::ENXIO)) {
        tracing::warn!(
            "{} is a pipe that nobody reads: lines wait, then are dropped, until somebody does",
            path.display()
        );
    }
    OpenOptions::new().read(true).write(true).open(path)
}

/// Runs the thread's loop to its end on the driver chosen.
pub(crate) fn serve(driver: FileDriver, output: Output, orders: UnboundedReceiver<Order>, shared: &Shared) {
    let work = |handle: fn(File) -> Handle| follow_orders(handle, output, orders, shared);
    let ran = match driver {
        FileDriver::Uring => {
            let mut builder = tokio_uring::builder();
            builder.entries(RING_ENTRIES);
            tokio_uring::Runtime::new(&builder).map(|runtime| {
                runtime.block_on(work(|file| Handle::Uring(tokio_uring::fs::File::from_std(file))))
            })
        }
        FileDriver::Plain | FileDriver::Off => {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.map(|runtime| runtime.block_on(work(Handle::Plain)))
        }
    };
    if let Err(error) = ran {
        tracing::error!(%error, "the file thread cannot start; nothing will be written");
    }
}

/// Does what comes off the queue, in order, until told to stop or all sinks are gone.
async fn follow_orders(
    handle: fn(File) -> Handle,
    output: Output,
    mut orders: UnboundedReceiver<Order>,
    shared: &Shared,
) {
    let mut file = handle(output.file);
    let mut said = false;
    let mut next = None;
    loop {
        let order = match next.take() {
            Some(order) => Some(order),
            None => orders.recv().await,
        };
        match order {
            Some(Order::Lines(lines)) => {
                let joined = join(lines, &mut orders, shared);
                next = joined.next;
                report(file.write_all(joined.lines, shared).await, &mut said);
            }
            Some(Order::Reopen) => {
                let Some(path) = &output.path else { continue };
                match append_to(path) {
                    Ok(fresh) => std::mem::replace(&mut file, handle(fresh)).close().await,
                    Err(error) => tracing::error!(%error, "the log stays in the old file"),
                }
            }
            Some(Order::Flush(done)) => {
                let _ = done.send(());
            }
            Some(Order::Stop) | None => break,
        }
    }
    file.close().await;
}

/// Adds the batches that wait behind `lines`, up to the write size or the next command.
fn join(mut lines: Vec<u8>, orders: &mut UnboundedReceiver<Order>, shared: &Shared) -> Joined {
    shared.taken();
    while lines.len() < WRITE_SIZE {
        match orders.try_recv() {
            Ok(Order::Lines(more)) => {
                shared.taken();
                lines.extend_from_slice(&more);
                shared.recycle(more);
            }
            Ok(command) => return Joined { lines, next: Some(command) },
            Err(_) => break,
        }
    }
    Joined { lines, next: None }
}

/// Says the first failure of a series, and that it is over.
fn report(result: io::Result<()>, said: &mut bool) {
    match result {
        Ok(()) if *said => {
            *said = false;
            tracing::info!("the log is written again");
        }
        Err(error) if !*said => {
            *said = true;
            tracing::error!(%error, "cannot write the log; lines are lost until it works again");
        }
        Ok(()) | Err(_) => {}
    }
}

impl Handle {
    async fn close(self) {
        match self {
            // By hand: dropped, it would be closed some turns later, or never when the runtime ends before.
            Handle::Uring(file) => {
                let _ = file.close().await;
            }
            Handle::Plain(file) => drop(file),
        }
    }

    /// Writes all of `lines`, and recycles the buffer.
    async fn write_all(&mut self, mut lines: Vec<u8>, shared: &Shared) -> io::Result<()> {
        let mut done = 0;
        let mut failed = None;
        while done < lines.len() && failed.is_none() {
            let (result, buffer) = self.write(lines, done).await;
            lines = buffer;
            match result {
                Ok(0) => failed = Some(io::Error::from(io::ErrorKind::WriteZero)),
                Ok(n) => {
                    done += n;
                    shared.counts.writes.fetch_add(1, Relaxed);
                    shared.counts.written_bytes.fetch_add(n as u64, Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => failed = Some(error),
            }
        }
        let lost = lines.len().saturating_sub(done);
        shared.recycle(lines);
        match failed {
            None => Ok(()),
            Some(error) => {
                shared.counts.write_errors.fetch_add(1, Relaxed);
                shared.counts.lost_bytes.fetch_add(lost as u64, Relaxed);
                Err(error)
            }
        }
    }

    async fn write(&mut self, lines: Vec<u8>, from: usize) -> (io::Result<usize>, Vec<u8>) {
        match self {
            Handle::Uring(file) => {
                let (result, slice) = file.write_at(lines.slice(from..), OWN_POSITION).submit().await;
                (result, slice.into_inner())
            }
            Handle::Plain(file) => {
                let result = file.write(lines.get(from..).unwrap_or_default());
                (result, lines)
            }
        }
    }
}
