use super::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

async fn failure(address: SocketAddr) -> HttpError {
    let request = Request::get(format!("http://{address}/e/the-event-key"))
        .body(Bytes::new())
        .unwrap();
    Reqwest::default().send(request).await.unwrap_err()
}

#[track_caller]
fn check_hides_the_path(error: &HttpError) {
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("the-event-key"), "{shown}");
    assert!(!error.reason.is_empty());
}

#[tokio::test]
async fn a_closed_port_is_told_of_without_the_key_in_the_path() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = failure(address).await;
    check_hides_the_path(&error);
    assert!(error.reason.contains("refused"), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_of_without_the_key_in_the_path() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
        connection.write_all(half).unwrap();
    });
    check_hides_the_path(&failure(address).await);
    server.join().unwrap();
}

#[tokio::test]
async fn a_url_that_cannot_be_called_is_told_of_without_the_key_in_the_path() {
    let request = Request::get("/e/the-event-key").body(Bytes::new()).unwrap();
    let error = Reqwest::default().send(request).await.unwrap_err();
    check_hides_the_path(&error);
}
