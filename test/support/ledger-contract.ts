import type { Test } from 'tap';
import t from 'tap';
import type { LedgerStore } from '../../src/quota/ledger.ts';
import type { LedgerUnderTest } from './ledgers.ts';
import { fileLedgerUnderTest, memoryLedgerUnderTest, oracleUnderTest } from './ledgers.ts';

const LEDGERS = {
  'the oracle': oracleUnderTest,
  'SQLite in memory': memoryLedgerUnderTest,
  'SQLite on a file': fileLedgerUnderTest,
};

/** What every ledger promises, whatever keeps it: one test for each of them. */
export function contract(title: string, run: (t: Test, under: LedgerUnderTest) => void): void {
  for (const [name, open] of Object.entries(LEDGERS)) {
    t.test(`${title} (${name})`, async (t) => {
      const under = open();
      t.teardown(() => under.close());
      run(t, under);
    });
  }
}

/** Does `work` in one transaction of one of the two processes, the first unless told. */
export function call<T>(
  under: LedgerUnderTest,
  work: (ledger: LedgerStore) => T,
  process: 0 | 1 = 0,
): T {
  const ledger = under.as(process);
  return ledger.transact(() => work(ledger));
}
