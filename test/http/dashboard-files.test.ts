import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ask } from '../support/ask.ts';
import { startOwnServer } from '../support/own-server.ts';

const DASHBOARD = fileURLToPath(new URL('../../src/dashboard/', import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  css: 'text/css',
  svg: 'image/svg+xml',
  png: 'image/png',
};
const HTML = { headers: { accept: 'text/html,*/*;q=0.8' } };

t.test('a browser is given the page, and others are told what this is', async (t) => {
  const { port } = await startOwnServer(t);
  const page = await ask(port, 'GET /', HTML);
  t.equal(page.status, 200);
  t.match(page.headers, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-cache',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    vary: 'accept',
  });
  const policy = String(page.headers['content-security-policy']);
  for (const rule of [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "frame-ancestors 'none'",
  ]) {
    t.ok(policy.split('; ').includes(rule), rule);
  }
  t.notMatch(policy, /unsafe|\*/);
  const text = await ask(port, 'GET /');
  t.match(text.headers['content-type'], 'text/plain');
  t.match(text.text, /headgate 1\.2\.3/);
});

t.test(
  'everything that the page names is served, and nothing of it comes from elsewhere',
  async (t) => {
    const { port } = await startOwnServer(t);
    const { text } = await ask(port, 'GET /', HTML);
    t.notMatch(
      text,
      /<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?:\/\//i,
      'nothing inline',
    );
    const named = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => `/${path}`);
    const imported = readdirSync(DASHBOARD)
      .filter((name) => /\.(js|css|svg|png)$/.test(name))
      .map((name) => `/dashboard/${name}`);
    const vendor = ['preact.js', 'uplot.js', 'uplot.css'].map(
      (name) => `/dashboard/vendor/${name}`,
    );
    t.ok(named.length >= 2 && imported.length >= 2, 'the patterns find what they look for');
    for (const path of [...named, ...imported, ...vendor]) {
      const file = await ask(port, `GET ${path}`);
      t.equal(file.status, 200, path);
      t.ok(file.text.length > 0);
      const ending = path.replace(/.*\./, '');
      t.ok(Object.hasOwn(TYPES, ending), ending);
      t.match(file.headers['content-type'], TYPES[ending] ?? '');
    }
  },
);

t.test('a file that has not changed is not sent again', async (t) => {
  const { port } = await startOwnServer(t);
  const first = await ask(port, 'GET /dashboard/vendor/uplot.css');
  const etag = String(first.headers['etag']);
  const second = await ask(port, 'GET /dashboard/vendor/uplot.css', {
    headers: { 'if-none-match': etag },
  });
  t.strictSame([second.status, second.text], [304, '']);
  const other = await ask(port, 'GET /dashboard/vendor/uplot.css', {
    headers: { 'if-none-match': '"x"' },
  });
  t.equal(other.status, 200);
});

t.test('nothing beside the page is served', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'headgate-page-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const directory = join(root, 'dashboard');
  mkdirSync(join(directory, 'inner'), { recursive: true });
  for (const name of ['secret.js', 'dashboard/.env', 'dashboard/a.json', 'dashboard/inner/b.js']) {
    writeFileSync(join(root, name), 'secret');
  }
  writeFileSync(join(directory, 'a.js'), 'open');
  const { port } = await startOwnServer(t, { directory });
  t.equal((await ask(port, 'GET /dashboard/a.js')).text, 'open');
  for (const path of [
    '../secret.js',
    '..%2fsecret.js',
    '%2e%2e%2fsecret.js',
    '..%5csecret.js',
    'inner/b.js',
    'inner%2fb.js',
    '.env',
    'a.json',
    'A.js',
    'a.js%00',
    'b.js',
    '',
    'vendor/..%2f..%2fpackage.json',
    'vendor/constructor',
    'vendor/__proto__',
  ]) {
    const answer = await ask(port, `GET /dashboard/${path}`);
    t.ok([400, 404].includes(answer.status), path);
    t.not(answer.text, 'secret');
  }
  t.match((await ask(port, 'GET /', HTML)).json, { status: 404, detail: /index\.html/ });
});
