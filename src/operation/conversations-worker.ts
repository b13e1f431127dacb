import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../clock.ts';
import { Recorder } from '../sessions/recording/recorder.ts';
import type { ThreadCall, ThreadData, ThreadReply } from './conversations-message.ts';
import { sentError } from './conversations-message.ts';
import { openConversations, type SessionSettings } from './open-conversations.ts';

/**
 * The thread in which session logs are read and written: files of many megabytes are parsed and
 * synced here, while the main thread goes on relaying. Calls overlap where they wait; a listing gives
 * way to others every few milliseconds.
 */
function serve(port: NonNullable<typeof parentPort>, { databasePath, home }: ThreadData): void {
  let settings: SessionSettings = { roots: [], write: 'in_place', recordDir: '' };
  const conversations = openConversations({
    databasePath,
    clock: systemClock,
    home,
    settings: () => settings,
    reach: 'roots',
  });
  const recorder = new Recorder({ directory: () => settings.recordDir });
  // The other side is of the same version and sends what the methods take.
  const methods = {
    list: (...args) => conversations.list(...(args as Parameters<typeof conversations.list>)),
    show: (...args) => conversations.show(...(args as Parameters<typeof conversations.show>)),
    history: (...args) =>
      conversations.history(...(args as Parameters<typeof conversations.history>)),
    plan: (...args) => conversations.plan(...(args as Parameters<typeof conversations.plan>)),
    begin: (...args) => conversations.begin(...(args as Parameters<typeof conversations.begin>)),
    finish: (...args) => conversations.finish(...(args as Parameters<typeof conversations.finish>)),
    abandon: (...args) =>
      conversations.abandon(...(args as Parameters<typeof conversations.abandon>)),
    record: async (...args) => recorder.record(...(args as Parameters<typeof recorder.record>)),
    close: () => conversations.close(),
  } satisfies Record<ThreadCall['method'], (...args: readonly unknown[]) => Promise<unknown>>;

  function answer(reply: ThreadReply): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
    port.postMessage(reply);
  }

  port.on('message', (call: ThreadCall) => {
    settings = call.settings;
    methods[call.method](...call.args).then(
      (value) => answer({ id: call.id, ok: true, value }),
      (error: unknown) => answer({ id: call.id, ok: false, error: sentError(error) }),
    );
  });
}

// The parent starts this file with nothing else.
if (parentPort !== null) serve(parentPort, workerData as ThreadData);
