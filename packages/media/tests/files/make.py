"""Makes the images beside it. Needs Pillow; see README.md."""

import struct
import zlib
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).parent
RED, GREEN, BLUE, WHITE = (220, 30, 40), (20, 160, 60), (30, 60, 200), (250, 250, 250)


def quarters(size=(48, 32)):
    """Red, green / blue, white: every rotation and mirroring looks different."""
    width, height = size
    picture = Image.new("RGB", size)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, width // 2 - 1, height // 2 - 1), fill=RED)
    draw.rectangle((width // 2, 0, width - 1, height // 2 - 1), fill=GREEN)
    draw.rectangle((0, height // 2, width // 2 - 1, height - 1), fill=BLUE)
    draw.rectangle((width // 2, height // 2, width - 1, height - 1), fill=WHITE)
    return picture


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png16(path, picture):
    """RGB with 16 bits a sample: the upper byte is the picture's, the lower one is the same again."""
    width, height = picture.size
    data = picture.tobytes()
    wide = b"".join(bytes((sample, sample)) for sample in data)
    rows = b"".join(b"\0" + wide[y * width * 6 : (y + 1) * width * 6] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def s15(value):
    return struct.pack(">i", round(value * 65536))


def swapped_profile():
    """An RGB profile whose red is sRGB's green and whose green is sRGB's red."""
    xyz = lambda x, y, z: b"XYZ \0\0\0\0" + s15(x) + s15(y) + s15(z)
    gamma = b"curv\0\0\0\0" + struct.pack(">I", 1) + struct.pack(">H", round(2.2 * 256)) + b"\0\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", 8) + b"swapped\0" + b"\0" * 79
    tags = {
        b"desc": description,
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"gXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        b"rTRC": gamma,
        b"gTRC": gamma,
        b"bTRC": gamma,
    }
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content
    size = start + len(body)
    header = struct.pack(">I", size) + b"\0\0\0\0" + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ "
    header += b"\0" * 12 + b"acsp" + b"\0" * 28 + s15(0.9642) + s15(1.0) + s15(0.8249)
    header += b"\0" * (128 - len(header))
    return header + struct.pack(">I", len(tags)) + table + body


def main():
    picture = quarters()
    # How a camera held so stores the picture: the inverse of what a viewer then does.
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    for number, turn in stored.items():
        turned = picture if turn is None else picture.transpose(turn)
        exif = Image.Exif()
        exif[0x0112] = number
        exif[0x010F] = "a camera's name"
        turned.save(HERE / f"orientation-{number}.jpg", quality=95, subsampling=0, exif=exif)
    picture.transpose(stored[6]).save(HERE / "orientation-6.webp", quality=95, exif=exif_of(6))
    picture.convert("CMYK").save(HERE / "cmyk.jpg", quality=95)
    picture.convert("L").save(HERE / "gray.jpg", quality=95)
    picture.save(HERE / "progressive.jpg", quality=95, subsampling=0, progressive=True)
    picture.save(HERE / "swapped-profile.png", icc_profile=swapped_profile())
    picture.save(HERE / "swapped-profile.jpg", quality=95, subsampling=0, icc_profile=swapped_profile())
    picture.save(HERE / "rgb.webp", quality=95)
    png16(HERE / "rgb16.png", picture)
    Image.new("I;16", (8, 8), 0x8080).save(HERE / "gray16.png")
    indexed = picture.quantize(8)
    indexed.save(HERE / "indexed.png", transparency=indexed.getpixel((40, 28)))

    disc = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    ImageDraw.Draw(disc).ellipse((8, 8, 55, 55), fill=RED + (255,))
    disc.save(HERE / "alpha.png")
    disc.save(HERE / "alpha.webp", quality=95)

    frames = [Image.new("RGB", (40, 24), color) for color in (RED, GREEN, BLUE)]
    frames[0].save(HERE / "animated.gif", save_all=True, append_images=frames[1:], duration=[100, 200, 300], loop=2)
    frames[0].save(HERE / "animated.webp", save_all=True, append_images=frames[1:], duration=100)

    photo().save(HERE / "photo.jpg", quality=85)


def exif_of(number):
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def photo():
    """A dull sky and wall, and at the right a person's face over a striped shirt."""
    picture = Image.new("RGB", (480, 240), (150, 160, 168))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 150, 479, 239), fill=(120, 122, 118))
    draw.ellipse((370, 50, 430, 130), fill=(226, 172, 138))
    for x in range(360, 440, 8):
        draw.rectangle((x, 132, x + 3, 220), fill=(190, 30, 60))
    return picture.filter(ImageFilter.GaussianBlur(0.8))


main()
