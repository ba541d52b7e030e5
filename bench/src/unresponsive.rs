//! A backend that accepts every connection, reads nothing and sends nothing.

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::abusers::until_closed;

/// Serves nobody until dropped. A connection is held until the other side closes it.
///
/// # Errors
/// None that lasts: accepting is tried again.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(async move { until_closed(&stream).await });
            }
            // Out of descriptors, or gone before it was taken: both pass.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn it_sends_nothing_and_closes_after_the_client() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        tokio::spawn(serve(listener));
        let mut client = TcpStream::connect(to).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(300), client.read_u8()).await;
        assert!(waited.is_err(), "it responded: {waited:?}");
        client.shutdown().await.unwrap();
        // Closed with something unread: a reset, or an end.
        assert!(client.read_u8().await.is_err());
    }
}
