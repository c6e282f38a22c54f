//! Files that want more than to be read.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;
use std::net::TcpListener;
use studio233_ai::Document;
use studio233_rag::pdf::{PdfError, PdfLimits, PdfReader};
use testbed::pdf::Objects;

const TEXT: &[u8] = b"BT /F1 12 Tf 20 100 Td (Hello brand) Tj ET";
const DRAW: &[u8] = b"q 200 0 0 100 20 20 cm /I Do Q BT /F1 12 Tf 20 150 Td (Hello brand) Tj ET";

/// A stream's dictionary, without its length, and its data.
type StreamParts<'a> = (&'a str, &'a [u8]);

/// A page with this content and one more stream, which it may draw as `/I`. `more` goes into the catalog.
fn pdf(more: &str, content: StreamParts<'_>, other: StreamParts<'_>) -> Bytes {
    let mut objects = Objects::default();
    objects.add(format!("<< /Type /Catalog /Pages 2 0 R {more} >>"));
    objects.add("<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
    objects.add(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R /Annots [6 0 R] /Resources << \
          /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> /XObject << /I 5 0 R >> >> \
          /AA << /O << /S /JavaScript /JS (app.launchURL\\('http://127.0.0.1:1/'\\)) >> >> >>",
    );
    objects.add_stream(content.0, content.1);
    objects.add_stream(other.0, other.1);
    objects.add(
        "<< /Type /Annot /Subtype /Link /Rect [0 0 300 200] /A << /S /Launch /F (/bin/sh) >> >>",
    );
    objects.finish("").into()
}

/// A file whose objects from 3 on, the catalog first, are in a stream of objects, as its table says.
fn with_objects_in_a_stream(dict: &str, data: &[u8]) -> Bytes {
    let mut objects = Objects::default();
    let stream = objects.end();
    objects.add_stream(dict, data);
    let table = objects.end();
    // Free, or at a place in the file, or at an index of the stream 1.
    let entry = |kind: u8, place: usize, index: u8| {
        let place = u32::try_from(place).unwrap().to_be_bytes();
        [&[kind][..], &place, &[index]].concat()
    };
    let entries = [
        entry(0, 0, 0),
        entry(1, stream, 0),
        entry(1, table, 0),
        entry(2, 1, 0),
        entry(2, 1, 1),
        entry(2, 1, 2),
    ]
    .concat();
    objects.add_stream("/Type /XRef /Size 6 /W [1 4 1] /Root 3 0 R", &entries);
    objects.finish_with_table_at(table).into()
}

/// A file whose table is packed.
fn with_table_in_a_stream((filter, data): StreamParts<'_>) -> Bytes {
    let mut objects = Objects::default();
    let table = objects.end();
    objects.add_stream(
        &format!("/Type /XRef /Size 4 /W [1 4 1] /Root 1 0 R {filter}"),
        data,
    );
    objects.finish_with_table_at(table).into()
}

fn packed(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Small limits, so that what is tested is small too.
fn limits() -> PdfLimits {
    PdfLimits {
        unpacked_bytes_max: 1024 * 1024,
        ..PdfLimits::default()
    }
}

async fn read(file: Bytes) -> Result<Document, PdfError> {
    PdfReader::new(limits()).read("brand.pdf", file).await
}

#[tokio::test]
async fn scripts_and_actions_are_no_text_and_do_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let actions = format!(
        "/OpenAction << /S /JavaScript /JS (this.getURL\\('http://{address}/'\\); app.alert\\('boo'\\)) \
           /Next << /S /Launch /F (/bin/sh) /Unix << /F (touch) /P ({trace}) >> \
           /Next << /S /URI /URI (http://{address}/) /Next << /S /SubmitForm /F (http://{address}/) >> >> >> >> \
         /Names << /JavaScript << /Names [(a) << /S /JavaScript /JS (app.alert\\(1\\)) >>] >> >> \
         /AcroForm << /Fields [] /XFA (<script>app.alert\\(1\\)</script>) >>",
        trace = trace.display(),
    );
    let external = format!("/F << /FS /URL /F (http://{address}/image) >>");
    let file = pdf(&actions, ("", DRAW), (&external, b""));
    let document = read(file).await.unwrap();
    assert_eq!(document.pages[0].text(), "Hello brand");
    assert_eq!(document.images.len(), 1);
    assert!(!trace.exists(), "nothing was started");
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn what_unpacks_beyond_measure_is_refused_however_it_is_packed() {
    let bomb = vec![b' '; 1200 * 1024];
    let (once, twice) = (packed(&bomb), packed(&packed(&bomb)));
    assert!(twice.len() < 1_000, "{}", twice.len());
    let hex = format!("{}>", hex(&once));
    let runs = [[129_u8, b' '].repeat(9600), vec![128]].concat();
    let packed_runs = packed(&runs);
    let lzw = weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
        .encode(&bomb)
        .unwrap();
    let headerless = &once[2..];
    let late_lzw = weezl::encode::Encoder::new(weezl::BitOrder::Msb, 8)
        .encode(&bomb)
        .unwrap();
    let bombs: [StreamParts<'_>; 8] = [
        ("/Filter /FlateDecode", headerless),
        ("/Filter /FlateDecode", &once),
        ("/Filter [/FlateDecode /FlateDecode]", &twice),
        ("/Filter [/ASCIIHexDecode /FlateDecode]", hex.as_bytes()),
        ("/Filter /RunLengthDecode", &runs),
        ("/Filter [/FlateDecode /RunLengthDecode]", &packed_runs),
        ("/Filter /LZWDecode", &lzw),
        (
            "/Filter /LZWDecode /DecodeParms << /EarlyChange 0 >>",
            &late_lzw,
        ),
    ];
    for bomb in bombs {
        // As the page's content, as a picture it draws, and as objects that are unpacked at once.
        let picture = format!(
            "/Subtype /Image /Width 10 /Height 10 /BitsPerComponent 8 /ColorSpace /DeviceGray {}",
            bomb.0
        );
        let objects = format!("/Type /ObjStm /N 1 /First 4 {}", bomb.0);
        for file in [
            pdf("", bomb, ("", b"")),
            pdf("", ("", DRAW), (&picture, bomb.1)),
            pdf("", ("", TEXT), (&objects, bomb.1)),
            with_objects_in_a_stream(&objects, bomb.1),
            with_table_in_a_stream(bomb),
        ] {
            assert!(file.len() < 200_000, "{}", file.len());
            let error = read(file).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "brand.pdf unpacks to more than 1 MB in one place; export it again with another program",
                "{}",
                bomb.0
            );
            assert!(!error.is_transient());
        }
    }
}

#[tokio::test]
async fn objects_in_a_stream_are_read() {
    let catalog = "<< /Type /Catalog /Pages 4 0 R >> ";
    let pages = "<< /Type /Pages /Kids [5 0 R] /Count 1 /MediaBox [0 0 321 200] >> ";
    let index = format!("3 0 4 {} 5 {} ", catalog.len(), catalog.len() + pages.len());
    let dict = format!(
        "/Type /ObjStm /N 3 /First {} /Filter /FlateDecode",
        index.len()
    );
    let objects = [&index, catalog, pages, "<< /Type /Page /Parent 4 0 R >>"].concat();
    let file = with_objects_in_a_stream(&dict, &packed(objects.as_bytes()));
    let document = read(file).await.unwrap();
    assert_eq!(document.pages[0].width, 321.0);
}

#[tokio::test]
async fn packing_that_cannot_be_checked_is_refused() {
    let many = format!("/Filter [{}]", "/ASCIIHexDecode ".repeat(9));
    for filter in [
        &many,
        "/Filter 9 0 R",
        "/Filter [9 0 R]",
        "/Filter /FlateDecode /DecodeParms 9 0 R",
        "/Filter [/LZWDecode /ASCIIHexDecode] /DecodeParms [<< /EarlyChange 0 >>]",
    ] {
        let error = read(pdf("", ("", TEXT), (filter, b"00>")))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "brand.pdf is packed in a way that cannot be checked; export it again with another program",
            "{filter}"
        );
    }
}

#[tokio::test]
async fn rows_of_a_predictor_are_weighed() {
    let filter = "/Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 2000000 >>";
    let error = read(pdf("", (filter, &packed(TEXT)), ("", b"")))
        .await
        .unwrap_err();
    assert!(matches!(error, PdfError::TooHeavy { .. }), "{error}");
}

#[tokio::test]
async fn contents_of_pages_are_weighed_together() {
    let content = packed(&[TEXT, &[b' '; 100 * 1024]].concat());
    let often = |times: usize| {
        // The page's `/Contents` names an array that names one stream.
        let file = pdf("", ("/Filter /FlateDecode", &content), ("", b""));
        let array = format!("/Contents [{}]", "4 0 R ".repeat(times));
        let at = file
            .windows(15)
            .position(|part| part == b"/Contents 4 0 R")
            .unwrap();
        Bytes::from([&file[..at], array.as_bytes(), &file[at + 15..]].concat())
    };
    let document = read(often(5)).await.unwrap();
    assert!(document.pages[0].text().starts_with("Hello brand"));
    let error = read(often(12)).await.unwrap_err();
    assert!(matches!(error, PdfError::TooHeavy { .. }), "{error}");
}

#[tokio::test]
async fn a_picture_of_enormous_size_is_refused_by_what_it_says_of_itself() {
    let data = packed(b"\0");
    for more in [
        "/Width 50000 /Height 50000 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode",
        "/Width 50000 /Height 50000 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode",
        "/Width 50000 /Height 50000 /BitsPerComponent 1 /ImageMask true /Filter /CCITTFaxDecode",
        "/Width 1 /Height 50000 /BitsPerComponent 1 /ImageMask true /Filter /CCITTFaxDecode \
         /DecodeParms << /K -1 /Columns 50000 >>",
        "/W 50000 /H 50000 /Width 1 /Height 1 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode",
        "/W 1 /H 50000 /BitsPerComponent 1 /ImageMask true /Filter /CCITTFaxDecode /DecodeParms << /Columns 50000 >>",
        "/Width 1 /Height 50000 /BitsPerComponent 1 /ImageMask true /Filter [/FlateDecode /CCITTFaxDecode] \
         /DecodeParms [null << /K -1 /Columns 50000 >>]",
        "/Width 1 /Height 50000 /BitsPerComponent 1 /ImageMask true /Filter [/CCITTFaxDecode] \
         /DecodeParms [<< /K -1 /Columns 50000 >>]",
    ] {
        let picture = format!("/Type /XObject /Subtype /Image {more}");
        let error = read(pdf("", ("", DRAW), (&picture, &data))).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "brand.pdf has a picture of 50000 × 50000 pixels; at most 100000000 pixels are read: export it with smaller \
             images",
            "{more}"
        );
    }
    let picture = "/Subtype /Image /Width 1 /Height 100000 /ImageMask true /Filter /CCITTFaxDecode";
    let error = read(pdf("", ("", DRAW), (picture, &data))).await;
    let told = error.unwrap_err().to_string();
    assert!(told.contains("1728 × 100000"), "{told}");
    let side = 50_000_u32.to_be_bytes();
    // The first codestream is a decoy.
    let start = &[0xFF, 0x4F, 0xFF, 0x51, 0, 47, 0, 0][..];
    let size = [start, &[0; 34], start, &side, &side].concat();
    let picture = "/Subtype /Image /Width 1 /Height 1 /Filter /JPXDecode";
    let error = read(pdf("", ("", DRAW), (picture, &size))).await;
    let told = error.unwrap_err().to_string();
    assert!(told.contains("50000 × 50000"), "{told}");
}

/// A segment of a JBIG2 picture: its number, its type, segments that it refers to, and its data.
fn segment(number: u32, kind: u8, referred: &[u8], data: &[u8]) -> Vec<u8> {
    let referred_to = match u8::try_from(referred.len()).unwrap() {
        few @ 0..=4 => vec![few << 5],
        many => vec![0xE0, 0, 0, many, 0],
    };
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [
        &number.to_be_bytes()[..],
        &[kind],
        &referred_to,
        referred,
        &[1],
        &length,
        data,
    ]
    .concat()
}

#[tokio::test]
async fn a_jbig2_picture_of_enormous_size_is_refused() {
    let side = 50_000_u32.to_be_bytes();
    let sides = |width: u32, height: u32| [width.to_be_bytes(), height.to_be_bytes()].concat();
    let page = |size: &[u8]| segment(8, 48, &[], &[size, &[0; 11]].concat());
    let small = page(&sides(8, 8));
    // A symbol dictionary, and a region whose length is not told.
    let other = segment(7, 0, &[], &[0; 30]);
    let mut endless = segment(
        7,
        38,
        &[],
        &[&sides(8, 8)[..], &[0; 18], &[0xFF, 0xAC, 0, 0, 0, 8]].concat(),
    );
    endless[7..11].fill(0xFF);
    let region = |kind: u8| segment(9, kind, &[], &[&side[..], &side, &[0; 10]].concat());
    for data in [
        page(&sides(50_000, 50_000)),
        [&other[..], &page(&sides(50_000, 50_000))].concat(),
        [&endless[..], &page(&sides(50_000, 50_000))].concat(),
        [
            &segment(7, 0, &[1, 2, 3, 4, 5, 6], b"")[..],
            &page(&sides(50_000, 50_000)),
        ]
        .concat(),
        [
            &page(&sides(50_000, u32::MAX))[..],
            &segment(9, 50, &[], &49_999_u32.to_be_bytes()),
        ]
        .concat(),
        [&small[..], &region(6)].concat(),
        [&small[..], &region(22)].concat(),
        [&small[..], &region(38)].concat(),
        [&small[..], &region(42)].concat(),
    ] {
        let picture = "/Subtype /Image /Width 8 /Height 8 /BitsPerComponent 1 /Filter /JBIG2Decode";
        let error = read(pdf("", ("", DRAW), (picture, &data))).await;
        let told = error.unwrap_err().to_string();
        assert!(told.contains("50000 × 50000"), "{told}: {data:X?}");
    }
    for data in [small, other, vec![0; 40], vec![0xFF; 40], Vec::new()] {
        let picture = "/Subtype /Image /Width 8 /Height 8 /BitsPerComponent 1 /Filter /JBIG2Decode";
        let document = read(pdf("", ("", DRAW), (picture, &data))).await.unwrap();
        assert_eq!(document.pages[0].text(), "Hello brand");
    }
}

#[tokio::test]
async fn components_of_a_picture_are_weighed() {
    let picture = "/Subtype /Image /Width 1 /Height 1 /Filter /JPXDecode";
    let size = |components: u16| {
        let side = 1_000_u32.to_be_bytes();
        let rest = [0; 24];
        [
            &[0xFF, 0x4F, 0xFF, 0x51, 0, 47, 0, 0][..],
            &side,
            &side,
            &rest,
            &components.to_be_bytes(),
        ]
        .concat()
    };
    let error = read(pdf("", ("", DRAW), (picture, &size(16_384)))).await;
    let error = error.unwrap_err();
    assert!(matches!(error, PdfError::TooHeavy { .. }), "{error}");
    // Four colours of a pixel, and how opaque it is.
    let document = read(pdf("", ("", DRAW), (picture, &size(5))))
        .await
        .unwrap();
    assert_eq!(document.pages[0].text(), "Hello brand");
}

/// What is packed within the limits is read, however it is packed.
#[tokio::test]
async fn honest_packing_is_read() {
    let once = packed(TEXT);
    let hex = format!("{}>", hex(&once));
    let twice = packed(&once);
    let lzw = weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8)
        .encode(TEXT)
        .unwrap();
    let length = u8::try_from(TEXT.len() - 1).unwrap();
    let runs = [&[length][..], TEXT, &[128]].concat();
    let late_lzw = weezl::encode::Encoder::new(weezl::BitOrder::Msb, 8)
        .encode(TEXT)
        .unwrap();
    let contents: [StreamParts<'_>; 6] = [
        ("/Filter /FlateDecode", &once),
        ("/Filter [/FlateDecode /FlateDecode]", &twice),
        ("/Filter [/ASCIIHexDecode /FlateDecode]", hex.as_bytes()),
        ("/Filter /RunLengthDecode", &runs),
        ("/Filter /LZWDecode", &lzw),
        (
            "/Filter /LZWDecode /DecodeParms << /EarlyChange 0 >>",
            &late_lzw,
        ),
    ];
    for content in contents {
        let document = read(pdf("", content, ("", b""))).await.unwrap();
        assert_eq!(document.pages[0].text(), "Hello brand", "{}", content.0);
    }
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02X}")).collect()
}
