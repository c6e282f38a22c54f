//! What the studio does with images: decode, resize, reframe, upscale, convert, read the palette.
//!
//! Bytes in, bytes out. Nothing here opens a file, waits, or knows where an image comes from; callers choose the
//! threads. What comes in may be hostile: a header is believed only within [`Limits`], before anything is
//! allocated for its pixels.
//!
//! An [`Image`] is 8-bit sRGB with or without alpha, the right way up: 16-bit samples are rounded, CMYK and embedded RGB
//! profiles are converted, and an EXIF orientation is carried out. No metadata comes out again. Of animations the
//! first frame is decoded; [`resize_animation`] keeps all frames of a GIF.

mod animation;
mod attention;
mod decode;
mod encode;
mod format;
mod oklab;
mod palette;
mod pixels;
mod resize;

pub use animation::{Animation, AnimationError, resize_animation};
pub use attention::attention;
pub use decode::{DecodeError, Info, Limits, decode, probe};
pub use encode::{EncodeError, Encoding, encode};
pub use format::Format;
pub use palette::{PALETTE_COLORS_MAX, Swatch, main_colors, palette};
pub use pixels::{Color, Image, InvalidColor};
pub use resize::{Fit, Frame, Region, SIDE_MAX, SizeError, reframe, resize, resized_size, upscale};
