//! A stand-in for the site, of bytes: it answers with what it was sent, and with more on some paths.

use std::{
    io::{self, Read},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use crate::client::{Client, PATIENCE, headers};

/// A site whose every path behaves in its own way.
pub struct Site {
    pub url: String,
    /// One head per request.
    seen: Receiver<String>,
    /// Lets `/events` go on.
    pub more: Sender<()>,
}

impl Site {
    pub fn start() -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, seen) = mpsc::channel();
        let (more, go) = mpsc::channel();
        let go = Arc::new(Mutex::new(go));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tell, go) = (tell.clone(), go.clone());
                // A visitor who leaves ends the thread with an error; that is the visitor's business.
                thread::spawn(move || serve(stream, &tell, &go));
            }
        });
        Site { url, seen, more }
    }

    /// The head of the next request.
    pub fn saw(&self) -> String {
        self.seen.recv_timeout(PATIENCE).unwrap()
    }
}

fn serve(stream: TcpStream, tell: &Sender<String>, go: &Mutex<Receiver<()>>) -> io::Result<()> {
    let mut client = Client::on(stream)?;
    loop {
        let head = client.try_head()?;
        if headers(&head).get("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            client.try_send("HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = client.body(&headers(&head))?.unwrap_or_default();
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let _ = tell.send(head.clone());
        match target.split('?').next().unwrap_or_default() {
            "/events" => {
                client.try_send(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
                )?;
                for number in 0..3 {
                    client.try_send(format!("9\r\ndata: {number}\n\n\r\n"))?;
                    go.lock().unwrap().recv_timeout(PATIENCE).map_err(io::Error::other)?;
                }
                client.try_send("0\r\n\r\n")?;
            }
            "/socket" => {
                // Echo from here on, the first bytes together with the handshake's answer.
                client.try_send(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello",
                )?;
                let mut buffer = [0; 1024];
                loop {
                    match client.0.read(&mut buffer)? {
                        0 => return Ok(()),
                        read => client.try_send(&buffer[..read])?,
                    }
                }
            }
            // Pages and what is none, the kind and further headers as the query says: `/html?text/html&DNT:+1`.
            "/html" => {
                let query = target.split_once('?').map_or("text/html", |(_, query)| query);
                let (kind, more) = query.split_once('&').unwrap_or((query, ""));
                let more: String = more
                    .split('&')
                    .filter(|line| !line.is_empty())
                    .map(|line| line.replace('+', " ") + "\r\n")
                    .collect();
                client
                    .try_send(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 5\r\n{more}\r\n"))?;
                client.try_send(if method == "HEAD" { "" } else { "<p>hi" })?;
            }
            "/silent" => thread::sleep(PATIENCE),
            _ => {
                let length = if method == "HEAD" { 4711 } else { body.len() };
                client.try_send(format!(
                    "HTTP/1.1 200 OK\r\nServer: site\r\nX-Saw: {method}\r\nContent-Length: {length}\r\n\r\n"
                ))?;
                if method != "HEAD" {
                    client.try_send(&body)?;
                }
            }
        }
    }
}
