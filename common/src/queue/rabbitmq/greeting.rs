//! The name and version by which a broker greets its clients: for `jhalak doctor`. lapin does not
//! show them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the broker may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest greeting that is read.
const MAX_BYTES: u32 = 64 << 10;

/// Returns the product and version of the broker at `host`:`port`; None if it does not greet in
/// plain AMQP 0-9-1.
pub(super) async fn product(host: &str, port: u16) -> Option<String> {
    let asking = async {
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await.ok()?;
        // A frame: type, channel, length, then the method connection.start.
        let mut head = [0; 7];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        if head[0] != 1 || length > MAX_BYTES {
            return None;
        }
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame).await.ok()?;
        read(&frame)
    };
    timeout(TIMEOUT, asking).await.ok().flatten()
}

/// Reads product and version from connection.start.
fn read(frame: &[u8]) -> Option<String> {
    if !frame.starts_with(&[0, 10, 0, 10]) {
        return None;
    }
    Some(format!("{} {}", text(frame, "product")?, text(frame, "version")?))
}

/// Returns the long string under `key` in a table of the frame.
fn text(frame: &[u8], key: &str) -> Option<String> {
    let mark: Vec<u8> = [&[key.len() as u8], key.as_bytes(), b"S"].concat();
    let at = frame.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let length = u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?) as usize;
    let value = std::str::from_utf8(frame.get(at + 4..(at + 4).checked_add(length)?)?).ok()?;
    let is_plain = value.len() <= 100 && value.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    is_plain.then(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut frame = vec![0, 10, 0, 10, 0, 9];
        let mut table = Vec::new();
        for (key, value) in fields {
            table.push(key.len() as u8);
            table.extend(key.as_bytes());
            table.push(b'S');
            table.extend((value.len() as u32).to_be_bytes());
            table.extend(value.as_bytes());
        }
        frame.extend((table.len() as u32).to_be_bytes());
        frame.extend(table);
        frame
    }

    #[test]
    fn product_and_version_are_read_and_a_damaged_greeting_is_not() {
        let good = frame(&[("cluster_name", "rabbit@here"), ("product", "RabbitMQ"), ("version", "3.10.8")]);
        assert_eq!(read(&good).as_deref(), Some("RabbitMQ 3.10.8"));
        for length in 0..good.len() {
            assert_eq!(read(&good[..length]), None, "{length}");
        }
        assert_eq!(read(&frame(&[("product", "RabbitMQ"), ("version", "\u{1b}[31m")])), None);
        let mut endless = good.clone();
        let at = endless.len() - 10;
        endless[at..at + 4].copy_from_slice(&[0xff; 4]);
        assert_eq!(read(&endless), None);
    }
}
