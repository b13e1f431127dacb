import type { Test } from 'tap';
import t from 'tap';
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
