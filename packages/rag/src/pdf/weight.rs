//! What a file unpacks to, weighed before the interpreter unpacks it: it would do so whole, into memory.
//!
//! A JPEG is no larger than its dictionary says, as the interpreter reads it. Not weighed are pictures within a page's content,
//! which have no object of their own, and symbols in JBIG2 data.

mod jbig2;

use super::reading::Stop;
use flate2::read::DeflateDecoder;
use hayro::hayro_syntax::object::{Array, Dict, FromBytes, MaybeRef, Object, Stream};
use hayro::hayro_syntax::{Filter, Pdf};
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Read;
use std::time::Instant;
use weezl::decode::Decoder;
use weezl::{BitOrder, LzwStatus};

/// Unpacking is bounded by these.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scales {
    pub(super) bytes_max: u64,
    pub(super) pixels_max: u64,
    pub(super) deadline: Instant,
}

/// Dictionaries may say any number.
type Side = u32;

impl Scales {
    /// Weighs what is unpacked when a file is opened: its tables, and objects in streams. Which streams those are is known
    /// only then, so that all are weighed. What refers to another object cannot be followed yet, and is refused.
    ///
    /// In an encrypted file, streams of objects are not weighed: they are decrypted as they are unpacked.
    pub(super) fn weigh_file(&self, file: &[u8]) -> Result<(), Stop> {
        let mut at = 0;
        while let Some(found) = find(&file[at..], b"<<") {
            self.check_time()?;
            let start = at + found;
            at = start + 1;
            let Some(stream) = Stream::from_bytes(&file[start..]) else {
                continue;
            };
            let dict = stream.dict();
            check_direct(&stream)?;
            let data = match stream.raw_data() {
                // Where it ends is told elsewhere: it may be beyond the first `endstream`.
                Cow::Borrowed(data) if dict.get_ref("Length").is_some() => {
                    let before = data.as_ptr().addr() - file.as_ptr().addr();
                    Cow::Borrowed(&file[before..])
                }
                data => data,
            };
            self.weigh_data(&stream, data)?;
        }
        Ok(())
    }

    /// Weighs every stream of an opened file, through all its filters.
    pub(super) fn weigh_objects(&self, pdf: &Pdf) -> Result<(), Stop> {
        for object in pdf.objects() {
            self.check_time()?;
            if let Object::Stream(stream) = object {
                self.weigh(&stream)?;
            }
        }
        Ok(())
    }

    /// Weighs what the pages draw: the interpreter joins the streams of each page's content and keeps them, and a page
    /// may name one stream many times.
    pub(super) fn weigh_pages(&self, pdf: &Pdf) -> Result<(), Stop> {
        let mut known = HashMap::new();
        let mut total = 0_u64;
        for page in pdf.pages().iter() {
            let dict = page.raw();
            let several = dict.get::<Array<'_>>("Contents");
            let several = several
                .iter()
                .flat_map(Array::raw_iter)
                .filter_map(|item| match item {
                    MaybeRef::Ref(to) => pdf.xref().get::<Stream<'_>>(to.into()),
                    MaybeRef::NotRef(_) => None,
                });
            for stream in dict
                .get::<Stream<'_>>("Contents")
                .into_iter()
                .chain(several)
            {
                self.check_time()?;
                let length = match known.entry(stream.obj_id()) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(place) => *place.insert(self.weigh(&stream)?),
                };
                // One more for the space between two.
                total = total.saturating_add(length).saturating_add(1);
                if total > self.bytes_max {
                    return Err(Stop::TooHeavy);
                }
            }
        }
        Ok(())
    }

    /// What a stream unpacks to; nothing for a picture that has a format of its own.
    fn weigh(&self, stream: &Stream<'_>) -> Result<u64, Stop> {
        self.weigh_data(stream, stream.raw_data())
    }

    fn weigh_data(&self, stream: &Stream<'_>, mut data: Cow<'_, [u8]>) -> Result<u64, Stop> {
        let dict = stream.dict();
        let (width, height) = (side(dict, ["W", "Width"]), side(dict, ["H", "Height"]));
        self.weigh_image(width, height)?;
        let filters = stream.filters();
        if filters.len() > FILTERS_MAX {
            return Err(Stop::Opaque);
        }
        self.weigh_rows(dict)?;
        for (number, filter) in filters.iter().enumerate() {
            self.check_time()?;
            let unpacked = match filter {
                Filter::LzwDecode if changes_late(dict) => {
                    // Which of several filters is told so is the interpreter's choice.
                    if number + 1 < filters.len() {
                        return Err(Stop::Opaque);
                    }
                    let late = Decoder::new(BitOrder::Msb, 8);
                    let late =
                        self.unpack_with(|room, unpacked| unlzw(late, &data, room, unpacked))?;
                    let early = self.unpack(filter, &data)?;
                    if late.len() > early.len() {
                        late
                    } else {
                        early
                    }
                }
                Filter::FlateDecode
                | Filter::LzwDecode
                | Filter::RunLengthDecode
                | Filter::AsciiHexDecode
                | Filter::Ascii85Decode => self.unpack(filter, &data)?,
                Filter::CcittFaxDecode => {
                    for (columns, rows) in fax_sizes(dict) {
                        self.weigh_image(columns, rows.max(height))?;
                    }
                    return Ok(0);
                }
                Filter::Crypt => continue,
                Filter::JpxDecode => {
                    for size in jpeg_2000_sizes(&data) {
                        self.weigh_jpeg_2000(size)?;
                    }
                    return Ok(0);
                }
                Filter::Jbig2Decode => {
                    for (width, height) in jbig2::sizes(&data) {
                        self.weigh_image(width, height)?;
                    }
                    return Ok(0);
                }
                Filter::DctDecode => return Ok(0),
            };
            data = Cow::Owned(unpacked);
        }
        Ok(data.len() as u64)
    }

    /// A predictor starts from a row of zeros, however few data follow.
    fn weigh_rows(&self, dict: &Dict<'_>) -> Result<(), Stop> {
        let rows_fit = parameters(dict).iter().all(|params| {
            let of =
                |key: &str, unless_told: usize| params.get::<usize>(key).unwrap_or(unless_told);
            let bits = of("Columns", 1)
                .saturating_mul(of("Colors", 1).max(1))
                .saturating_mul(of("BitsPerComponent", 8).max(1));
            of("Predictor", 1) == 1 || (bits / 8) as u64 <= self.bytes_max
        });
        match rows_fit {
            true => Ok(()),
            false => Err(Stop::TooHeavy),
        }
    }

    fn weigh_image(&self, width: Side, height: Side) -> Result<(), Stop> {
        match u64::from(width) * u64::from(height) > self.pixels_max {
            true => Err(Stop::LargeImage { width, height }),
            false => Ok(()),
        }
    }

    fn weigh_jpeg_2000(&self, size: Jpeg2000Size) -> Result<(), Stop> {
        self.weigh_image(size.width, size.height)?;
        let samples = u64::from(size.width) * u64::from(size.height) * u64::from(size.components);
        match size.components > COMPONENTS_MAX && samples > self.bytes_max {
            true => Err(Stop::TooHeavy),
            false => Ok(()),
        }
    }

    /// What a filter makes of data, as far as it goes: what is damaged ends where it is.
    fn unpack(&self, filter: &Filter, data: &[u8]) -> Result<Vec<u8>, Stop> {
        self.unpack_with(|room, unpacked| match filter {
            Filter::FlateDecode => {
                // As the interpreter does: the checksum is of no interest, and the header may be missing.
                let packed = if is_zlib(data) { &data[2..] } else { data };
                let mut unpacking = DeflateDecoder::new(packed).take(room);
                let mut buffer = vec![0; 64 * 1024];
                // `read_to_end` would take what memory has no room for as the end.
                while let Ok(read @ 1..) = unpacking.read(&mut buffer) {
                    unpacked.extend_from_slice(&buffer[..read]);
                }
            }
            Filter::LzwDecode => {
                let early = Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
                unlzw(early, data, room, unpacked);
            }
            Filter::RunLengthDecode => unrun(data, room, unpacked),
            Filter::AsciiHexDecode => unhex(data, unpacked),
            Filter::Ascii85Decode => un85(data, unpacked),
            _ => {}
        })
    }

    fn unpack_with(&self, unpack: impl FnOnce(u64, &mut Vec<u8>)) -> Result<Vec<u8>, Stop> {
        let mut unpacked = Vec::new();
        unpack(self.bytes_max.saturating_add(1), &mut unpacked);
        match unpacked.len() as u64 > self.bytes_max {
            true => Err(Stop::TooHeavy),
            false => Ok(unpacked),
        }
    }

    fn check_time(&self) -> Result<(), Stop> {
        match Instant::now() > self.deadline {
            true => Err(Stop::TooSlow),
            false => Ok(()),
        }
    }
}

/// Programs use one or two.
const FILTERS_MAX: usize = 8;

/// Refuses what unpacks a stream in a way that is told by another object.
fn check_direct(stream: &Stream<'_>) -> Result<(), Stop> {
    let dict = stream.dict();
    let indirect = |keys: [&str; 2]| {
        keys.iter().any(|key| {
            let listed = dict.get_raw::<Array<'_>>(key);
            let listed = match listed {
                Some(MaybeRef::NotRef(array)) => array
                    .raw_iter()
                    .any(|item| matches!(item, MaybeRef::Ref(_))),
                _ => false,
            };
            listed || dict.get_ref(key).is_some()
        })
    };
    let picture = stream.filters().iter().any(|filter| {
        matches!(
            filter,
            Filter::CcittFaxDecode | Filter::DctDecode | Filter::JpxDecode | Filter::Jbig2Decode
        )
    });
    // No table and no objects are unpacked by a picture's filter.
    match indirect(["F", "Filter"]) || !picture && indirect(["DP", "DecodeParms"]) {
        true => Err(Stop::Opaque),
        false => Ok(()),
    }
}

/// A side of a picture by either of its names: which one counts is the interpreter's choice.
fn side(dict: &Dict<'_>, keys: [&str; 2]) -> Side {
    keys.iter()
        .filter_map(|key| dict.get(key))
        .max()
        .unwrap_or_default()
}

/// Columns of a fax that does not tell (ISO 32000-2, table 11).
const FAX_COLUMNS: usize = 1728;

/// What fax decoding is told of the columns and rows of a picture, which need not be what the picture says.
fn fax_sizes(dict: &Dict<'_>) -> Vec<(Side, Side)> {
    let told = parameters(dict);
    let sizes = told.iter().map(|params| {
        // The interpreter reads a wider number, and cuts it off.
        let columns = params.get::<usize>("Columns").unwrap_or(FAX_COLUMNS);
        let columns = Side::try_from(columns).unwrap_or(Side::MAX);
        (columns, params.get::<Side>("Rows").unwrap_or_default())
    });
    // Among several filters, the fax may be one that has no parameters.
    sizes.chain([(FAX_COLUMNS as Side, 0)]).collect()
}

/// The parameters of all filters of a stream.
fn parameters<'a>(dict: &Dict<'a>) -> Vec<Dict<'a>> {
    let mut all = Vec::new();
    for key in ["DecodeParms", "DP"] {
        all.extend(dict.get::<Dict<'_>>(key));
        if let Some(several) = dict.get::<Array<'_>>(key) {
            all.extend(several.iter::<Object<'_>>().filter_map(Object::into_dict));
        }
    }
    all
}

/// Whether LZW codes may grow one code later than is usual (ISO 32000-2, table 8).
fn changes_late(dict: &Dict<'_>) -> bool {
    let told = |params: &Dict<'_>| params.get::<Object<'_>>("EarlyChange").is_some();
    let usual = |params: &Dict<'_>| params.get::<u8>("EarlyChange") == Some(1);
    parameters(dict)
        .iter()
        .any(|params| told(params) && !usual(params))
}

/// Colours of a pixel, and its opacity. Pictures of so many are bounded by their pixels.
const COMPONENTS_MAX: u16 = 5;

struct Jpeg2000Size {
    width: Side,
    height: Side,
    components: u16,
}

/// What JPEG 2000 codestreams say of their sizes, which may be unlike what the dictionary says (ISO 15444-1, A.5.1).
fn jpeg_2000_sizes(data: &[u8]) -> Vec<Jpeg2000Size> {
    // Data may be around a codestream, and look like one.
    let mut sizes = Vec::new();
    let mut rest = data;
    while let Some(at) = find(rest, &[0xFF, 0x4F, 0xFF, 0x51]) {
        rest = &rest[at + 4..];
        let side = |at: usize| Some(Side::from_be_bytes(*rest.get(at..)?.first_chunk()?));
        let components = rest.get(36..).and_then(<[u8]>::first_chunk);
        if let (Some(width), Some(height)) = (side(4), side(8)) {
            sizes.push(Jpeg2000Size {
                width,
                height,
                components: components.map_or(0, |bytes| u16::from_be_bytes(*bytes)),
            });
        }
    }
    sizes
}

fn find(bytes: &[u8], keyword: &[u8]) -> Option<usize> {
    bytes
        .windows(keyword.len())
        .position(|window| window == keyword)
}

/// RFC 1950, 2.2
fn is_zlib(data: &[u8]) -> bool {
    let [cmf, flags, ..] = *data else {
        return false;
    };
    cmf & 0x0F == 8 && u16::from_be_bytes([cmf, flags]).is_multiple_of(31) && flags & 0x20 == 0
}

fn unlzw(mut decoder: Decoder, mut data: &[u8], room: u64, unpacked: &mut Vec<u8>) {
    let mut buffer = vec![0; 64 * 1024];
    while (unpacked.len() as u64) < room {
        let step = decoder.decode_bytes(data, &mut buffer);
        data = &data[step.consumed_in..];
        unpacked.extend_from_slice(&buffer[..step.consumed_out]);
        if !matches!(step.status, Ok(LzwStatus::Ok)) || step.consumed_in + step.consumed_out == 0 {
            return;
        }
    }
}

/// ISO 32000-2, 7.4.5
fn unrun(mut data: &[u8], room: u64, unpacked: &mut Vec<u8>) {
    while let [length, rest @ ..] = data {
        let length = usize::from(*length);
        if length == 128 || unpacked.len() as u64 >= room {
            return;
        }
        let (taken, run) = match length {
            ..128 => (length + 1, 1),
            _ => (1, 257 - length),
        };
        let Some((bytes, rest)) = rest.split_at_checked(taken) else {
            return;
        };
        for _ in 0..run {
            unpacked.extend_from_slice(bytes);
        }
        data = rest;
    }
}

/// ISO 32000-2, 7.4.2
fn unhex(data: &[u8], unpacked: &mut Vec<u8>) {
    let digits = data
        .iter()
        .take_while(|byte| **byte != b'>')
        .filter_map(|byte| char::from(*byte).to_digit(16));
    let digits: Vec<u8> = digits
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    unpacked.extend(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or_default()),
    );
}

/// ISO 32000-2, 7.4.3
fn un85(data: &[u8], unpacked: &mut Vec<u8>) {
    let (mut group, mut filled) = (0_u32, 0_usize);
    for byte in data {
        match byte {
            b'~' => break,
            b'z' if filled == 0 => unpacked.extend([0; 4]),
            b'!'..=b'u' => {
                group = group.wrapping_mul(85).wrapping_add(u32::from(byte - b'!'));
                filled += 1;
                if filled == 5 {
                    unpacked.extend(group.to_be_bytes());
                    (group, filled) = (0, 0);
                }
            }
            _ => {}
        }
    }
    if filled > 1 {
        for _ in filled..5 {
            group = group.wrapping_mul(85).wrapping_add(84);
        }
        unpacked.extend(&group.to_be_bytes()[..filled - 1]);
    }
}
