import t from 'tap';
import { injectKey, readKey, readKeys, redactUrl, withoutKeys } from '../../src/gemini/auth.ts';

const MODELS = '/v1beta/models';
const CHAT = '/v1beta/openai/chat/completions';

t.test('a key is read in every form that clients use', async (t) => {
  t.strictSame(readKey(MODELS, ['X-Goog-Api-Key', 'k']), { key: 'k', form: 'header' });
  t.strictSame(readKey(`${MODELS}?a=1&key=k%2B`, []), { key: 'k+', form: 'query' });
  t.strictSame(readKey(MODELS, ['Authorization', 'Bearer k']), { key: 'k', form: 'bearer' });
  t.strictSame(readKey(MODELS, ['authorization', 'Token auth_tokens/x']), {
    key: 'auth_tokens/x',
    form: 'token',
  });
  t.strictSame(readKey(`${MODELS}?access_token=t`, []), { key: 't', form: 'token' });
  t.strictSame(readKey(`${MODELS}?key=`, ['x-goog-api-key', '']), { key: null, form: 'none' });
  t.strictSame(readKey(MODELS, ['authorization', 'Basic abc']), { key: null, form: 'none' });
});

t.test('of several keys the one counts that the path looks at first', async (t) => {
  const headers = ['authorization', 'Bearer b', 'x-goog-api-key', 'h', 'x-goog-api-key', 'h2'];
  const path = (of: string) => `${of}?access_token=t&key=q`;
  const keysOf = (of: string) => readKeys(path(of), headers).map(({ key }) => key);
  t.strictSame(keysOf(MODELS), ['h', 'h2', 'q', 'b', 't']);
  t.strictSame(keysOf(CHAT), ['b', 'h', 'h2', 'q', 't']);
  t.equal(readKey(path(MODELS), headers).key, 'h');
  t.equal(readKey(path(CHAT), headers).key, 'b');
});

t.test('the placeholder counts only where nothing else does', async (t) => {
  const bearer = ['x-goog-api-key', 'headgate', 'authorization', 'Bearer ya29.oauth'];
  t.equal(readKey(MODELS, bearer).key, 'ya29.oauth');
  t.equal(readKey(`${MODELS}?key=q`, ['x-goog-api-key', 'headgate']).key, 'q');
  t.equal(readKey(`${MODELS}?key=headgate`, []).key, 'headgate');
  // The OpenAI paths do not look at x-goog-api-key.
  const openai = ['x-goog-api-key', 'h', 'authorization', 'Bearer headgate'];
  t.equal(readKey(CHAT, openai).key, 'headgate');
});

t.test('keys are taken out one by one, and nothing else changes', async (t) => {
  const headers = ['A', 'drop', 'X-Goog-Api-Key', 'drop', 'authorization', 'Bearer stay'];
  const path = `${MODELS}?x=%2f&key=drop&b&key=stay&access_token=dro%70&alt=drop`;
  t.strictSame(
    withoutKeys({ path, headers }, (key) => key === 'drop'),
    {
      path: `${MODELS}?x=%2f&b&key=stay&alt=drop`,
      headers: ['A', 'drop', 'authorization', 'Bearer stay'],
    },
  );
  t.strictSame(
    withoutKeys({ path: `${MODELS}?`, headers }, () => false),
    { path: `${MODELS}?`, headers },
  );
});

t.test('an injected key is the only one, in the form that the path takes', async (t) => {
  t.strictSame(injectKey('/v1beta/m?alt=sse&key=headgate&x=%20', ['a', 'b'], 'K'), {
    path: '/v1beta/m?alt=sse&x=%20',
    headers: ['a', 'b', 'x-goog-api-key', 'K'],
  });
  t.strictSame(injectKey('/v1beta/m?key=headgate', ['Authorization', 'Bearer headgate'], 'K'), {
    path: '/v1beta/m',
    headers: ['x-goog-api-key', 'K'],
  });
  t.strictSame(injectKey(CHAT, ['x-goog-api-key', 'headgate', 'a', 'b'], 'K'), {
    path: CHAT,
    headers: ['a', 'b', 'authorization', 'Bearer K'],
  });
});

t.test('secrets do not survive in a URL that is logged', async (t) => {
  t.equal(
    redactUrl(
      '/upload/v1beta/files?upload_id=s1&key=s2&access_token=s3&k%65y=s4&alt=sse&headgate_pass=s5',
    ),
    '/upload/v1beta/files?upload_id=[redacted]&key=[redacted]&access_token=[redacted]&k%65y=[redacted]&alt=sse&headgate_pass=[redacted]',
  );
  for (const odd of [
    '/v1beta/models?KEY=s3cret',
    '/v1beta/models?api_key=s3cret&apiKey=s3cret&token=s3cret',
    '/v1beta/models&key=s3cret',
    '/v1beta/models%3Fkey=s3cret',
    '/v1beta/models?key%3Ds3cret',
    '/v1beta/models?a=b;key=s3cret',
    '/v1beta/models#key=s3cret',
    '/v1alpha/auth_tokens/s3cret',
    '/v1alpha/auth_tokens%2Fs3cret',
  ]) {
    t.notMatch(redactUrl(odd), 's3cret', odd);
  }
  t.equal(redactUrl('/v1beta/models?pageToken=x&monkey=y'), '/v1beta/models?pageToken=x&monkey=y');
});
