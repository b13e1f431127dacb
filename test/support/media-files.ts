/** Small files of every kind, with true headers and nothing that could be seen or heard. */

export function png(width: number, height: number): Buffer {
  const file = Buffer.alloc(64);
  file.write('\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR', 'latin1');
  file.writeUInt32BE(width, 16);
  file.writeUInt32BE(height, 20);
  return file;
}

export function gif(width: number, height: number): Buffer {
  const file = Buffer.alloc(32);
  file.write('GIF89a');
  file.writeUInt16LE(width, 6);
  file.writeUInt16LE(height, 8);
  return file;
}

/** With segments of `profileBytes` in all before the frame. */
export function jpeg(width: number, height: number, profileBytes = 20): Buffer {
  const segments: Buffer[] = [Buffer.from([0xff, 0xd8])];
  for (let left = profileBytes; left > 0; left -= 60_000) {
    const segment = Buffer.alloc(2 + Math.min(left, 60_000) + 2, 0xab);
    segment.writeUInt16BE(0xffe2, 0);
    segment.writeUInt16BE(segment.length - 2, 2);
    segments.push(segment);
  }
  const frame = Buffer.from([0xff, 0xc2, 0, 17, 8, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  frame.writeUInt16BE(height, 5);
  frame.writeUInt16BE(width, 7);
  return Buffer.concat([...segments, frame, Buffer.alloc(300)]);
}

export function webp(form: 'VP8 ' | 'VP8L' | 'VP8X', width: number, height: number): Buffer {
  const file = Buffer.alloc(80);
  file.write(`RIFF\0\0\0\0WEBP${form}`, 'latin1');
  if (form === 'VP8 ') {
    file.writeUInt16LE(width, 26);
    file.writeUInt16LE(height, 28);
  } else if (form === 'VP8L') {
    file[20] = 0x2f;
    file.writeUInt32LE((width - 1) | ((height - 1) << 14), 21);
  } else {
    file.writeUIntLE(width - 1, 24, 3);
    file.writeUIntLE(height - 1, 27, 3);
  }
  return file;
}

export function heic(): Buffer {
  return Buffer.concat([box('ftyp', Buffer.from('heic\0\0\0\0mif1')), Buffer.alloc(100)]);
}

/** 8 kHz, 16 bits, mono. */
export function wav(seconds: number, declaredBytes?: number): Buffer {
  const samples = Buffer.alloc(16_000 * seconds);
  const head = Buffer.alloc(44);
  head.write('RIFF\0\0\0\0WAVEfmt ', 'latin1');
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(8_000, 24);
  head.writeUInt32LE(16_000, 28);
  head.write('data', 36);
  head.writeUInt32LE(declaredBytes ?? samples.length, 40);
  return Buffer.concat([head, samples]);
}

/** MPEG 1 layer III, 128 kbit/s, 48 kHz, 24 ms and 384 bytes a frame. */
export function mp3(seconds: number, tagBytes = 0, isCounted = false): Buffer {
  const count = Math.round(seconds / 0.024);
  const frames = Array.from({ length: isCounted ? 20 : count }, () => {
    const frame = Buffer.alloc(384);
    frame.writeUInt32BE(0xfffb_9400);
    return frame;
  });
  if (isCounted) {
    frames[0]?.write('Xing\0\0\0\x01', 36, 'latin1');
    frames[0]?.writeUInt32BE(count, 44);
  }
  if (tagBytes === 0) return Buffer.concat(frames);
  const tag = Buffer.alloc(10 + tagBytes);
  tag.write('ID3\x04\0\0', 'latin1');
  for (let at = 0; at < 4; at += 1) tag[6 + at] = (tagBytes >> (7 * (3 - at))) & 0x7f;
  return Buffer.concat([tag, ...frames]);
}

export function flac(seconds: number): Buffer {
  const file = Buffer.alloc(200);
  file.write('fLaC\0\0\0\x22', 'latin1');
  file.writeUIntBE(48_000 << 4, 18, 3);
  file.writeUInt32BE(48_000 * seconds, 22);
  return file;
}

/** The last page begins 60 bytes before the end. */
export function opus(seconds: number, bytes: number): Buffer {
  const file = Buffer.alloc(bytes, 0x55);
  file.write(`OggS\0\x02${'\0'.repeat(20)}\x01\x13OpusHead\x01\x01`, 'latin1');
  file.writeUInt16LE(312, 38);
  file.write('OggS\0\x04', bytes - 60, 'latin1');
  file.writeBigInt64LE(BigInt(Math.round(48_000 * seconds) + 312), bytes - 54);
  return file;
}

export function aiff(seconds: number): Buffer {
  const file = Buffer.alloc(100);
  file.write('FORM\0\0\0\0AIFFCOMM\0\0\0\x12', 'latin1');
  file.writeUInt32BE(44_100 * seconds, 22);
  // 44,100 as a number of 80 bits.
  Buffer.from([0x40, 0x0e, 0xac, 0x44]).copy(file, 28);
  return file;
}

export function avi(seconds: number): Buffer {
  const file = Buffer.alloc(100);
  file.write('RIFF\0\0\0\0AVI LIST\0\0\0\0hdrlavih', 'latin1');
  file.writeUInt32LE(50_000, 32);
  file.writeUInt32LE(20 * seconds, 48);
  return file;
}

export interface Mp4Form {
  /** moov before the media. */
  readonly isFirst?: boolean;
  readonly isWide?: boolean;
  readonly isFragmented?: boolean;
  readonly mediaBytes?: number;
}

export function mp4(seconds: number, form: Mp4Form = {}): Buffer {
  const { isFirst = true, isWide = false, isFragmented = false, mediaBytes = 500 } = form;
  const units = Math.round(seconds * 1_000);
  const times = Buffer.alloc(isWide ? 112 : 100);
  times[0] = isWide ? 1 : 0;
  times.writeUInt32BE(1_000, isWide ? 20 : 12);
  if (isWide) times.writeBigUInt64BE(BigInt(units), 24);
  else times.writeUInt32BE(isFragmented ? 0 : units, 16);
  const fragments = Buffer.alloc(8);
  fragments.writeUInt32BE(units, 4);
  const extends_ = isFragmented ? box('mvex', box('mehd', fragments)) : Buffer.alloc(0);
  const track = box('trak', Buffer.alloc(300));
  const moov = box('moov', Buffer.concat([box('mvhd', times), track, extends_]));
  const media = Buffer.alloc(mediaBytes, 0x99);
  const mdat = isWide ? longBox('mdat', media) : box('mdat', media);
  const start = box('ftyp', Buffer.from('isom\0\0\x02\0isomiso2'));
  return Buffer.concat(isFirst ? [start, moov, mdat] : [start, mdat, moov]);
}

function box(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(8 + body.length);
  head.write(type, 4);
  return Buffer.concat([head, body]);
}

function longBox(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32BE(1);
  head.write(type, 4);
  head.writeBigUInt64BE(BigInt(16 + body.length), 8);
  return Buffer.concat([head, body]);
}

/** A segment of unknown size, as recorders write it; its times are in milliseconds. */
export function webm(seconds: number): Buffer {
  const duration = Buffer.alloc(8);
  duration.writeDoubleBE(seconds * 1_000);
  const info = Buffer.concat([
    Buffer.from('2ad7b1830f4240', 'hex'),
    Buffer.from('4d808477726974', 'hex'),
    Buffer.from('448988', 'hex'),
    duration,
  ]);
  return Buffer.concat([
    Buffer.from('1a45dfa3844286810118538067', 'hex'),
    Buffer.from('01ffffffffffffff', 'hex'),
    Buffer.from('ec83000000', 'hex'),
    Buffer.from([0x15, 0x49, 0xa9, 0x66, 0x80 | info.length]),
    info,
    Buffer.from('1f43b67580', 'hex'),
    Buffer.alloc(200),
  ]);
}

/** A page tree after `contentBytes` of pages, whose root holds a smaller tree; 0 pages hides it. */
export function pdf(pages: number, contentBytes: number): Buffer {
  const content = `4 0 obj << /Length ${contentBytes} >> stream\n${'x'.repeat(contentBytes)}\nendobj\n`;
  const tree =
    `2 0 obj << /Type /Pages /Kids [ 3 0 R ] /Count ${pages} >> endobj\n` +
    '3 0 obj << /Type/Pages /Parent 2 0 R /Kids [] /Count 90 >> endobj\n';
  const shown = pages === 0 ? '2 0 obj << /Type /ObjStm >> stream\nendobj\n' : tree;
  return Buffer.from(`%PDF-1.7\n${content}${shown}trailer << /Root 1 0 R >>\n%%EOF\n`);
}
