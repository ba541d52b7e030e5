//! Images as the Open Container Initiative defines them: layers, and the archives that containerd imports
//! (image-spec 1.0, image layout).

mod archive;
mod blob;
mod layer;

pub use archive::{Image, Packed};
pub use blob::{Blob, Compression};
pub use layer::{Entry, Layer};
