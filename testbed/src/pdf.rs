//! PDF files made by hand, object by object: honest ones, and such as no program would write.

/// A file in the making. Objects are numbered from 1 in the order in which they are added.
#[derive(Debug, Clone)]
pub struct Objects {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            bytes: b"%PDF-1.5\n".to_vec(),
            places: Vec::new(),
        }
    }
}

impl Objects {
    /// Adds an object; returns its number.
    pub fn add(&mut self, body: impl AsRef<[u8]>) -> usize {
        self.places.push(self.bytes.len());
        let number = self.places.len();
        self.bytes.extend(format!("{number} 0 obj\n").bytes());
        self.bytes.extend(body.as_ref());
        self.bytes.extend(b"\nendobj\n");
        number
    }

    /// Adds a stream, whose dictionary is this and its length; returns its number.
    pub fn add_stream(&mut self, dict: &str, data: &[u8]) -> usize {
        let start = format!("<< {dict} /Length {} >>\nstream\n", data.len());
        self.add([start.as_bytes(), data, b"\nendstream"].concat())
    }

    /// Where the next object will start.
    pub fn end(&self) -> usize {
        self.bytes.len()
    }

    /// The file with a table of its objects. The first is its catalog; `trailer` is added to the trailer dictionary.
    pub fn finish(mut self, trailer: &str) -> Vec<u8> {
        let (table, size) = (self.end(), self.places.len() + 1);
        self.bytes
            .extend(format!("xref\n0 {size}\n0000000000 65535 f \n").bytes());
        for place in &self.places {
            self.bytes.extend(format!("{place:010} 00000 n \n").bytes());
        }
        let trailer = format!("trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\n");
        self.bytes.extend(trailer.bytes());
        self.finish_with_table_at(table)
    }

    /// The file whose table is a stream that was added at this place.
    pub fn finish_with_table_at(mut self, place: usize) -> Vec<u8> {
        self.bytes
            .extend(format!("startxref\n{place}\n%%EOF\n").bytes());
        self.bytes
    }
}

/// The dictionary of the picture that [`pages`] may draw.
const PICTURE: &str =
    "/Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray";

/// A document with a page for each content stream, of this width and height in points. Contents may use the fonts `/F1`
/// (Helvetica), `/F2` (Times, bold) and `/F3` (Courier, whose letters are all 0.6 em wide), and the grey picture `/I` of one pixel.
/// `trailer` is added to the trailer dictionary.
pub fn pages<C: AsRef<str>>((width, height): (u32, u32), contents: &[C], trailer: &str) -> Vec<u8> {
    let mut objects = Objects::default();
    objects.add("<< /Type /Catalog /Pages 2 0 R >>");
    let kids: Vec<String> = (0..contents.len())
        .map(|page| format!("{} 0 R", 5 + 2 * page))
        .collect();
    let count = contents.len();
    objects.add(format!(
        "<< /Type /Pages /Kids [{}] /Count {count} /MediaBox [0 0 {width} {height}] /Resources 3 0 R >>",
        kids.join(" ")
    ));
    let font = |name| format!("<< /Type /Font /Subtype /Type1 /BaseFont /{name} >>");
    objects.add(format!(
        "<< /Font << /F1 {} /F2 {} /F3 {} >> /XObject << /I 4 0 R >> >>",
        font("Helvetica"),
        font("Times-Bold"),
        font("Courier")
    ));
    objects.add_stream(PICTURE, &[0x80]);
    for content in contents {
        let stream = objects.places.len() + 2;
        objects.add(format!(
            "<< /Type /Page /Parent 2 0 R /Contents {stream} 0 R >>"
        ));
        objects.add_stream("", content.as_ref().as_bytes());
    }
    objects.finish(trailer)
}
