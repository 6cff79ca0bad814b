//! A link to a store that can be cut and held: what Lambda's freeze, a failover and a bad network do
//! to connections.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// A link to one address.
#[derive(Debug, Clone)]
pub struct Link {
    /// Where it is entered: `127.0.0.1:PORT`.
    pub address: String,
    cut: Arc<Notify>,
    held: Arc<watch::Sender<bool>>,
}

impl Link {
    /// A link to `target`, open.
    pub async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Self {
            address: listener.local_addr().unwrap().to_string(),
            cut: Arc::default(),
            held: Arc::new(watch::Sender::new(false)),
        };
        let (cut, held) = (Arc::clone(&link.cut), link.held.subscribe());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, cut, held) = (target.clone(), Arc::clone(&cut), held.clone());
                tokio::spawn(async move {
                    let cut = cut.notified();
                    tokio::select! {
                        () = connect(client, target, held) => {}
                        () = cut => {}
                    }
                });
            }
        });
        link
    }

    /// Ends every connection.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// Lets nothing through, or everything again. Connections stay.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }
}

async fn connect(client: TcpStream, target: String, held: watch::Receiver<bool>) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pass(from_client, to_server, held.clone()) => {}
        () = pass(from_server, to_client, held) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut held: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let end_hold = held.wait_for(|held| !held).await.is_ok();
        if !end_hold || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
