//! A picture that could be an x-ray, as a BMP file that is made row by row while it is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

const SIDE: u32 = 512;
const HEADER: u32 = 14 + 40;
/// 256 grey tones of four bytes.
const PALETTE: u32 = 256 * 4;
const SIZE: u32 = HEADER + PALETTE + SIDE * SIDE;

/// The rows that are still to be sent, from the bottom up as BMP has them.
#[derive(Debug, Default)]
pub(super) struct Picture {
    begun: bool,
    next_row: u32,
}

impl Body for Picture {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.begun {
            self.begun = true;
            return Poll::Ready(Some(Ok(Frame::data(head()))));
        }
        let row = self.next_row;
        if row == SIDE {
            return Poll::Ready(None);
        }
        self.next_row += 1;
        Poll::Ready(Some(Ok(Frame::data((0..SIDE).map(|column| shade(column, row)).collect()))))
    }

    fn is_end_stream(&self) -> bool {
        self.next_row == SIDE
    }

    fn size_hint(&self) -> SizeHint {
        let head = if self.begun { 0 } else { HEADER + PALETTE };
        SizeHint::with_exact(u64::from(head + (SIDE - self.next_row) * SIDE))
    }
}

fn head() -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(b"BM");
    for number in [SIZE, 0, HEADER + PALETTE, 40, SIDE, SIDE] {
        out.put_u32_le(number);
    }
    out.put_u16_le(1);
    out.put_u16_le(8);
    for number in [0, SIDE * SIDE, 2835, 2835, 256, 0] {
        out.put_u32_le(number);
    }
    for tone in 0..=u8::MAX {
        out.put_slice(&[tone, tone, tone, 0]);
    }
    out.freeze()
}

/// Ribs around a spine, with some imagination.
fn shade(column: u32, row: u32) -> u8 {
    let across = (f64::from(column) / f64::from(SIDE) - 0.5).abs();
    let up = f64::from(row) / f64::from(SIDE);
    let spine = (-(across * 22.0).powi(2)).exp() * 0.7;
    let cage = (1.0 - (across / 0.42).powi(2) - ((up - 0.5) / 0.46).powi(2)).max(0.0);
    let ribs = ((up + across * 0.6) * 70.0).sin().max(0.0).powi(2) * cage.min(0.5);
    let tone = (spine + ribs + cage * 0.15).clamp(0.0, 1.0) * 255.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=255 above"
    )]
    let tone = tone as u8;
    tone
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn the_file_is_as_long_as_it_says() {
        let picture = Picture::default();
        assert_eq!(picture.size_hint().exact(), Some(u64::from(SIZE)));
        let bytes = picture.collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len(), usize::try_from(SIZE).unwrap());
        assert_eq!(bytes.get(..6).unwrap(), [&b"BM"[..], &SIZE.to_le_bytes()].concat());
    }
}
