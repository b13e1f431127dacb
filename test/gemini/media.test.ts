import fc from 'fast-check';
import t from 'tap';

import { BodyScanner } from '../../src/gemini/body-scan.ts';
import type { BodyFacts } from '../../src/gemini/body-scan.ts';
import { estimateTokens } from '../../src/gemini/cost.ts';
import { MediaSample } from '../../src/gemini/media-sample.ts';
import type { Sampled } from '../../src/gemini/media-sample.ts';
import * as files from '../support/media-files.ts';

function scan(body: unknown, sizes: readonly number[] = [Infinity]): BodyFacts {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const scanner = new BodyScanner();
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    scanner.push(bytes.subarray(at, at + size));
    at += size;
  }
  return scanner.end();
}

function sampled(base64: string, size = Infinity): Sampled {
  const bytes = Buffer.from(base64);
  const sample = new MediaSample();
  sample.start(false);
  for (let at = 0; at < bytes.length; at += size) {
    sample.push(bytes, at, Math.min(bytes.length, at + size));
  }
  return sample.end();
}

function inline(mimeType: string, data: Buffer, more: object = {}): BodyFacts {
  return scan({
    contents: [{ parts: [{ inlineData: { mimeType, data: data.toString('base64') }, ...more }] }],
  });
}

/** Tokens of the media alone, without the 4 that every body has. */
function tokens(facts: BodyFacts, model: string): number {
  return estimateTokens(facts, model).inputTokens - 4;
}

/** How much the ceiling leaves for media. */
function most(facts: BodyFacts, model: string): number {
  const base64 = facts.media.reduce((sum, { base64Bytes }) => sum + base64Bytes, 0);
  return estimateTokens(facts, model).inputTokensMax - 64 - (facts.bytes - base64);
}

const PICTURES: Record<string, Buffer> = {
  png: files.png(960, 540),
  jpeg: files.jpeg(960, 540),
  'jpeg with 100 kB of profiles': files.jpeg(960, 540, 100_000),
  gif: files.gif(960, 540),
  vp8: files.webp('VP8 ', 960, 540),
  vp8l: files.webp('VP8L', 960, 540),
  vp8x: files.webp('VP8X', 960, 540),
};

const TIMED: Record<string, Buffer> = {
  wav: files.wav(3.25),
  'wav of unknown size': files.wav(3.25, 0xffff_ffff),
  'mp3 of constant rate': files.mp3(3.25),
  'mp3 after a picture': files.mp3(3.25, 70_000),
  'mp3 that counts its frames': files.mp3(3.25, 0, true),
  flac: files.flac(3.25),
  opus: files.opus(3.25, 3_000),
  'opus of two tails': files.opus(3.25, 150_000),
  aiff: files.aiff(3.25),
  avi: files.avi(3.25),
  'mp4, moov first': files.mp4(3.25, { isFirst: true }),
  'mp4, moov last': files.mp4(3.25, { isFirst: false, mediaBytes: 200_000 }),
  'mp4 of 64-bit sizes and times': files.mp4(3.25, { isFirst: false, isWide: true }),
  'mp4 in fragments': files.mp4(3.25, { isFirst: true, isFragmented: true }),
  webm: files.webm(3.25),
};

t.test('the size of a picture is read from its header', async (t) => {
  for (const [name, file] of Object.entries(PICTURES)) {
    t.strictSame(
      sampled(file.toString('base64')).measure,
      { of: 'picture', width: 960, height: 540 },
      name,
    );
  }
  t.equal(sampled(files.heic().toString('base64')).measure, null, 'nobody needs that of HEIC');
});

t.test('the duration of sound and video is read from the file', async (t) => {
  for (const [name, file] of Object.entries(TIMED)) {
    const [total] = inline('audio/x', file).media;
    t.ok(Math.abs((total?.seconds ?? 0) - 3.25) < 0.05, `${name}: ${total?.seconds}`);
    t.ok((total?.secondsMax ?? 0) >= 3.25 && (total?.secondsMax ?? 99) < 4.5, `${name}, at most`);
  }
  t.equal(sampled(files.mp4(0, { isFirst: true }).toString('base64')).measure, null);
});

t.test('the pages of a PDF are those of its root', async (t) => {
  for (const file of [files.pdf(7, 0), files.pdf(7, 100_000), files.pdf(7, 200_000)]) {
    t.strictSame(sampled(file.toString('base64')).measure, { of: 'pages', pages: 7 });
  }
  t.equal(sampled(files.pdf(0, 0).toString('base64')).measure, null);
});

t.test('a file is measured alike in any pieces, and however its base64 is escaped', async (t) => {
  for (const [name, file] of Object.entries({
    ...PICTURES,
    ...TIMED,
    pdf: files.pdf(7, 100_000),
  })) {
    const base64 = file.toString('base64');
    const whole = sampled(base64);
    for (const size of [1, 2, 3, 5, 997]) t.strictSame(sampled(base64, size), whole, name);
    // PHP escapes slashes, .NET the plus; a probe may be done before it has seen them all.
    const escaped = base64.replaceAll('/', '\\/').replaceAll('+', '\\u002B');
    for (const size of [Infinity, 1, 4]) {
      t.strictSame(sampled(escaped, size).measure, whole.measure, `${name}, escaped`);
    }
  }
});

t.test('any cut of a body gives the same facts', async () => {
  const parts = [...Object.values(PICTURES), ...Object.values(TIMED)]
    .filter(({ length }) => length < 30_000)
    .map((file) => ({ inlineData: { data: file.toString('base64'), mimeType: 'video/mp4' } }));
  const urls = ['https://youtu.be/x,y', 'data:image/png;base64,', 'data', 'dat,a'].map((url) => ({
    image_url: { url },
  }));
  const body = JSON.stringify({ contents: [{ parts: [...parts, ...urls] }] });
  const whole = JSON.stringify(scan(body));
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(sizes, (each) => JSON.stringify(scan(body, each)) === whole),
    { numRuns: 30 },
  );
  const small = JSON.stringify({ contents: [{ parts: [parts[0], ...urls] }] });
  const expected = JSON.stringify(scan(small));
  for (let cut = 1; cut < small.length; cut += 1) {
    if (JSON.stringify(scan(small, [cut, Infinity])) !== expected) throw new Error(`at ${cut}`);
  }
});

t.test('damaged media measure as something or nothing, and never throw', async () => {
  const all = [...Object.values(PICTURES), ...Object.values(TIMED), files.pdf(2, 0)];
  const damage = fc.record({
    file: fc.constantFrom(...all.map((file) => file.subarray(0, 3_000))),
    at: fc.nat(200),
    bytes: fc.uint8Array({ maxLength: 8 }),
    length: fc.nat(400),
  });
  fc.assert(
    fc.property(damage, ({ file, at, bytes, length }) => {
      const broken = Buffer.from(file.subarray(0, length));
      Buffer.from(bytes).copy(broken, at);
      const facts = inline('video/mp4', broken);
      const { inputTokens, inputTokensMax } = estimateTokens(facts, 'gemini-3-pro');
      return facts.valid && inputTokens > 0 && inputTokens <= inputTokensMax;
    }),
    { numRuns: 2_000 },
  );
});

t.test('media cost what recorded calls were charged', async (t) => {
  const [old, recent] = ['gemini-2.5-flash', 'gemini-3-flash-preview'];
  const image = inline('image/png', files.png(1_024, 768));
  const cases: [string, BodyFacts, string, number, number][] = [
    ['image of 7 tiles', inline('image/png', files.png(960, 540)), 'gemini-2.0-flash', 1_806, 0],
    [
      'image of 13 tiles',
      inline('image/png', files.png(3_072, 2_304)),
      'gemini-2.0-flash',
      3_354,
      0,
    ],
    ['small image', inline('image/png', files.png(384, 384)), 'gemini-2.0-flash', 258, 0],
    ['image', image, old, 258, 0],
    ['image', image, recent, 1_088, 0.03],
    ['image', image, 'gemini-4-argon', 1_102, 0.03],
    ['page', inline('application/pdf', files.pdf(1, 0)), old, 258, 0],
    ['page', inline('application/pdf', files.pdf(1, 0)), recent, 520, 0.08],
    ['3.25 s of sound', inline('audio/wav', files.wav(3.25)), old, 104, 0],
    ['4.5 s of sound', inline('audio/wav', files.wav(4.5)), old, 144, 0],
    ['3.25 s of sound', inline('audio/wav', files.wav(3.25)), recent, 80, 0.03],
    ['4.5 s of sound', inline('audio/wav', files.wav(4.5)), recent, 113, 0.01],
    ['10 s of video', inline('video/mp4', files.mp4(10.03)), old, 2_893 + 321, 0.01],
    ['60 s of video', inline('video/mp4', files.mp4(59.9)), old, 15_780 + 1_917, 0.01],
    ['10 s of video', inline('video/mp4', files.mp4(10.03)), recent, 910, 0.1],
  ];
  for (const [what, facts, model, recorded, tolerance] of cases) {
    const estimate = tokens(facts, model);
    const off = Math.abs(estimate / recorded - 1);
    t.ok(off <= tolerance + 1e-9, `${what} of ${model}: ${estimate} for ${recorded}`);
    t.ok(most(facts, model) >= recorded, `${what} of ${model}: at most ${most(facts, model)}`);
  }
});

t.test('ceilings are tight where the file tells its size', async (t) => {
  const video = inline('video/mp4', files.mp4(60, { mediaBytes: 300_000, isFirst: false }));
  t.ok(most(video, 'gemini-2.5-flash') < 1.06 * tokens(video, 'gemini-2.5-flash'));
  t.equal(most(inline('image/png', files.png(9, 9)), 'gemini-2.5-pro'), 258);
  t.equal(most(inline('image/png', files.png(9, 9)), 'gemini-3-pro'), 1_120);
});

t.test('the resolution asked for counts, in every spelling and for the right models', async (t) => {
  const data = files.png(1_000, 1_000).toString('base64');
  const image = { inlineData: { mimeType: 'image/png', data } };
  const globally = (key: string, value: unknown) =>
    scan({ generationConfig: { [key]: value }, contents: [{ parts: [image] }] });
  for (const facts of [
    globally('mediaResolution', 'MEDIA_RESOLUTION_LOW'),
    globally('media_resolution', 'MEDIA_RESOLUTION_LOW'),
    globally('mediaResolution', 1),
  ]) {
    t.equal(tokens(facts, 'gemini-3-pro'), 280);
    t.equal(tokens(facts, 'gemini-2.5-pro'), 66);
    t.equal(tokens(facts, 'gemini-2.0-flash'), 66);
  }
  const perPart = (part: object) =>
    scan({
      contents: [{ parts: [part, image] }],
      generation_config: { media_resolution: 'MEDIA_RESOLUTION_MEDIUM' },
    });
  for (const facts of [
    perPart({ ...image, mediaResolution: { level: 'MEDIA_RESOLUTION_ULTRA_HIGH' } }),
    perPart({ media_resolution: { level: 'MEDIA_RESOLUTION_ULTRA_HIGH' }, ...image }),
  ]) {
    t.equal(tokens(facts, 'gemini-3-pro'), 2_240 + 560);
    t.equal(tokens(facts, 'gemini-2.5-pro'), 258 + 258);
  }
  const item = { type: 'image', data, mime_type: 'image/png', resolution: 'low' };
  t.equal(tokens(scan({ input: [item] }), 'gemini-3-pro'), 280);
  const video = inline('video/mp4', files.mp4(10), {
    mediaResolution: { level: 'MEDIA_RESOLUTION_HIGH' },
  });
  t.equal(tokens(video, 'gemini-3-pro'), 10 * 280 + 250);
});

t.test('only the part of a video that is looked at costs', async (t) => {
  const file = files.mp4(100);
  const clip = { startOffset: '10s', endOffset: '20.0s', fps: 2 };
  const snake = { start_offset: '10s', end_offset: '20s', fps: 2 };
  for (const more of [{ videoMetadata: clip }, { video_metadata: snake }]) {
    t.equal(tokens(inline('video/mp4', file, more), 'gemini-2.5-pro'), 20 * 263 + 320);
  }
  t.equal(
    tokens(inline('video/mp4', file, { videoMetadata: { startOffset: '90s' } }), 'gemini-2.5-pro'),
    10 * 263 + 320,
  );
});

t.test('what is remembered of files and caches replaces the window', async (t) => {
  const uri = 'https://generativelanguage.googleapis.com/v1beta/files/abc';
  const memory = {
    file: (asked: string) =>
      asked === uri ? { sizeBytes: 5_000_000, mimeType: 'video/mp4', durationMs: 60_000 } : null,
    cacheTokens: (name: string) => (name === 'cachedContents/c' ? 5_000 : null),
  };
  const estimate = (body: object) => estimateTokens(scan(body), 'gemini-2.5-pro', memory);
  for (const part of [
    { fileData: { fileUri: uri } },
    { file_data: { file_uri: uri, mime_type: 'video/mp4' } },
    { type: 'video', uri },
  ]) {
    const { inputTokens, inputTokensMax } = estimate({ contents: [{ parts: [part] }] });
    t.equal(inputTokens, 4 + 60 * 263 + 60 * 32);
    t.ok(inputTokensMax < 20_000);
  }
  const tube = estimate({
    contents: [{ parts: [{ fileData: { fileUri: 'https://youtu.be/x' } }] }],
  });
  t.ok(tube.inputTokensMax > 1_000_000);
  const cached = estimate({ cachedContent: 'cachedContents/c' });
  t.equal(cached.inputTokens, 5_004);
  t.ok(cached.inputTokensMax < 5_200);
  t.ok(estimate({ cached_content: 'cachedContents/d' }).inputTokensMax > 1_000_000);
});

t.test('files are listed up to a hundred, and counted beyond', async (t) => {
  const parts = Array.from({ length: 150 }, (_, n) => ({
    fileData: { fileUri: `https://x/${n}` },
  }));
  const facts = scan({ contents: [{ parts }] });
  t.match(facts, { fileDataCount: 150, files: { length: 100 } });
  const known = {
    file: () => ({ sizeBytes: 10, mimeType: 'image/png', durationMs: null }),
    cacheTokens: () => null,
  };
  t.ok(estimateTokens(facts, 'gemini-3-pro', known).inputTokensMax > 1_000_000);
});

t.test('measuring 30 MB of media takes little longer than passing over them', async (t) => {
  const file = files.mp4(60, { isFirst: false, mediaBytes: 22_500_000 }).toString('base64');
  const bodies = [`{"x":"${file}"}`, `{"inlineData":{"mimeType":"video/mp4","data":"${file}"}}`];
  const best = bodies.map(() => Infinity);
  for (let round = 0; round < 7; round += 1) {
    bodies.forEach((body, which) => {
      const bytes = Buffer.from(body);
      const start = process.hrtime.bigint();
      const facts = scanned(bytes);
      const took = Number(process.hrtime.bigint() - start);
      best[which] = Math.min(best[which] ?? Infinity, took);
      if (which === 1) t.equal(facts.media[0]?.seconds, 60);
    });
  }
  const ratio = (best[1] ?? 0) / (best[0] ?? 1);
  t.ok(ratio < 8, `${ratio.toFixed(1)} times as long as a string that nobody wants`);
});

function scanned(bytes: Buffer): BodyFacts {
  const scanner = new BodyScanner();
  for (let at = 0; at < bytes.length; at += 65_536) scanner.push(bytes.subarray(at, at + 65_536));
  return scanner.end();
}
