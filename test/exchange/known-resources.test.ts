import { gzipSync } from 'node:zlib';
import t from 'tap';
import { AnswerCopy, COPY_BYTES_MAX } from '../../src/exchange/answer-copy.ts';
import { createKnownResources, KNOWN_MAX } from '../../src/exchange/known-resources.ts';

const FILE = {
  name: 'files/a',
  sizeBytes: '12',
  mimeType: 'video/mp4',
  videoMetadata: { videoDuration: '1.5s' },
};
const KNOWN = { sizeBytes: 12, mimeType: 'video/mp4', durationMs: 1_500 };
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

t.test('files are learned from uploads, reads and lists, and found by URI and name', async (t) => {
  for (const [path, body] of [
    ['/upload/v1beta/files?upload_id=1', { file: FILE }],
    ['/v1beta/files/a', FILE],
    ['/v1/files?pageSize=2', { files: [FILE] }],
  ] as const) {
    const known = createKnownResources();
    known.learn(path, json(body));
    t.strictSame(known.file('https://generativelanguage.googleapis.com/v1beta/files/a'), KNOWN);
    t.strictSame(known.file('files/a'), KNOWN, path);
    t.equal(known.file('files/b'), null);
  }
});

t.test('tokens of caches are learned, and what cannot be read is not', async (t) => {
  const known = createKnownResources();
  const cache = { name: 'cachedContents/c', usageMetadata: { totalTokenCount: 4_096 } };
  known.learn('/v1beta/cachedContents', json(cache));
  t.equal(known.cacheTokens('cachedContents/c'), 4_096);
  for (const body of ['', '[', 'null', '{"files":[null,{"name":1}]}']) {
    known.learn('/v1beta/files', Buffer.from(body));
  }
  known.learn('/v1beta/models', json({ ...FILE, name: 'files/x' }));
  t.equal(known.file('files/x'), null);
});

t.test('what is longest out of use is forgotten first', async (t) => {
  const known = createKnownResources();
  known.learn('/v1beta/files/a', json(FILE));
  known.learn('/v1beta/files/b', json({ ...FILE, name: 'files/b' }));
  t.not(known.file('files/a'), null);
  const others = Array.from({ length: KNOWN_MAX - 1 }, (_, at) => ({ name: `files/n${at}` }));
  known.learn('/v1beta/files', json({ files: others }));
  t.equal(known.file('files/b'), null);
  t.not(known.file('files/a'), null);
});

t.test('packed answers are unpacked, and large ones are let go', async (t) => {
  const unpacked = new Promise<string>((resolve) => {
    const copy = new AnswerCopy('gzip', (body) => resolve(body.toString()));
    const packed = gzipSync('{"name":"files/a"}');
    copy.add(packed.subarray(0, 5));
    copy.add(packed.subarray(5));
    copy.end();
  });
  t.equal(await unpacked, '{"name":"files/a"}');
  const large = new AnswerCopy(null, () => t.fail('told of a large one'));
  large.add(Buffer.alloc(COPY_BYTES_MAX + 1));
  large.end();
});
