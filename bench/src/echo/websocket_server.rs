//! The server of WebSockets.

use std::io;

use anyhow::Result;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;
use tungstenite::Message;

use super::Respond;

/// Sends messages back until dropped.
///
/// # Errors
/// The listener does not accept any more.
pub async fn serve(listener: TcpListener, respond: Respond) -> io::Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A connection that ends otherwise than in order is the client's to count.
            let _ = connection(socket, respond).await;
        });
    }
}

async fn connection(socket: TcpStream, respond: Respond) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = accept_async(socket).await?;
    let mut messages = 0;
    while let Some(message) = socket.next().await {
        // Pings and closes are the library's to respond to.
        let Message::Binary(message) = message? else { continue };
        let Some(echo) = respond(messages, message) else { return Ok(socket.close(None).await?) };
        messages += 1;
        socket.send(Message::Binary(echo)).await?;
    }
    Ok(())
}
