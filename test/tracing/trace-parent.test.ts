import t from 'tap';
import { traceParentIn } from '../../src/tracing/trace-parent.ts';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const SPAN_ID = 'b7ad6b7169203331';
const GOOD = `00-${TRACE_ID}-${SPAN_ID}-01`;

t.test('a valid header tells trace, span and flags, and its states are one list', async (t) => {
  t.strictSame(
    traceParentIn(['TraceParent', GOOD, 'tracestate', 'a=1', 'x', 'y', 'Tracestate', 'b=2']),
    { traceId: TRACE_ID, spanId: SPAN_ID, flags: 1, state: 'a=1,b=2' },
  );
  t.match(traceParentIn(['traceparent', ` ${GOOD} `]), { flags: 1, state: null });
});

t.test('a later version may say more, and a state beyond the bound is left out', async (t) => {
  const later = `cc-${TRACE_ID}-${SPAN_ID}-00-what-comes`;
  t.match(traceParentIn(['traceparent', later]), { traceId: TRACE_ID, flags: 0 });
  const long = ['traceparent', GOOD, 'tracestate', `a=${'1'.repeat(511)}`];
  t.match(traceParentIn(long), { state: null });
});

t.test('anything else is no trace', async (t) => {
  const bad = [
    [],
    ['traceparent', ''],
    ['traceparent', `ff-${TRACE_ID}-${SPAN_ID}-01`],
    ['traceparent', `${GOOD}-more`],
    ['traceparent', GOOD.toUpperCase()],
    ['traceparent', `00-${'0'.repeat(32)}-${SPAN_ID}-01`],
    ['traceparent', `00-${TRACE_ID}-${'0'.repeat(16)}-01`],
    ['traceparent', `00-${TRACE_ID}-${SPAN_ID}`],
    ['traceparent', GOOD, 'traceparent', GOOD],
  ];
  for (const headers of bad) t.equal(traceParentIn(headers), null, headers.join(' '));
});
